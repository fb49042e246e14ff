"""Distances of positive and negative pairs under a protocol (CCAF, figure 6)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from reidclip.evaluation.diagnostics.histogram import TwoHistograms, two_histograms
from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.records import Rule

_BLOCK_ELEMENTS = 1 << 24


def pair_distances(
    query: Tensor, gallery: Tensor, query_labels: Labels, gallery_labels: Labels, rule: Rule, block_elements: int = _BLOCK_ELEMENTS
) -> TwoHistograms | None:
    """Cosine distances, 1 - cos, of all pairs that the protocol compares: matches first, then pairs of two people.

    Args:
        query: (Q, D). gallery: (G, D).
        query_labels, gallery_labels: labels of the rows; queries of unknown people are left out.
        rule: pairs that it ignores are in neither sample.
        block_elements: distances held at once.

    Returns:
        None when there is no match, or no pair of two people.
    """
    query, gallery = F.normalize(query.float(), dim=1), F.normalize(gallery.float(), dim=1)
    index = GalleryIndex(gallery_labels)
    gallery_pids = torch.from_numpy(gallery_labels.pids)
    rows = max(1, block_elements // max(1, len(gallery)))

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(query), rows):
            part = query_labels.rows(slice(start, start + rows))
            distances = 1 - query[start : start + rows] @ gallery.T
            matches, _ = index.pairs(part, rule)
            positive = distances[torch.from_numpy(matches.query), torch.from_numpy(matches.gallery)]
            pids = torch.from_numpy(part.pids)[:, None]
            yield positive, distances[(pids != gallery_pids) & (pids >= 0)]

    return two_histograms(blocks)
