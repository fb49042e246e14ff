"""Exact CMC, mAP and mINP without sorting the gallery.

The rank of a match is one plus the number of valid gallery items ahead of it, so only the matches' own scores are counted against:
block by block over queries, a block of similarities is computed, ignored items are struck out, and a count gives every match its
rank. Cost: the matrix product plus a few passes over each row; memory: one block. Ties: the lower gallery index is ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidclip.errors import UserError, WorkError
from reidclip.evaluation.counting import count_ahead
from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.formulas.distances import Measure, closeness, closeness_to
from reidclip.records import Rule

_BLOCK_ELEMENTS = 1 << 24  # 64 MiB of float32 similarities


@dataclass(frozen=True)
class Ranking:
    """Where the matches of each query stand. Arrays are per query, in the order of the queries, NaN or 0 where not valid.

    Attributes:
        valid: bool; the query has at least one match after the rule's removals. Only these enter any average.
        first_rank: int64, 1-based rank of the first match after removal; 0 where not valid.
        average_precision: float64, precision at hit: mean over the n matches of i / rank_i, no interpolation.
        inverse_negative_penalty: float64, n / rank of the last match.
        matches: int64, n.
        gallery: number of gallery items before any removal.
    """

    valid: NDArray[np.bool_]
    first_rank: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    inverse_negative_penalty: NDArray[np.float64]
    matches: NDArray[np.int64]
    gallery: int


def rank_features(
    query: Tensor,
    gallery: Tensor,
    query_labels: Labels,
    gallery_labels: Labels,
    rule: Rule,
    block_elements: int = _BLOCK_ELEMENTS,
    measure: Measure = "similarity",
) -> Ranking:
    """Rank a gallery for every query by dot product or Euclidean distance, on the device of the features.

    Args:
        query: (Q, D), float32, normalised by the caller where cosine is meant.
        gallery: (G, D), on the same device.
        query_labels, gallery_labels: labels of the rows.
        rule: which gallery items are ignored.
        block_elements: similarities held at once; bounds the memory.
        measure: "similarity" ranks by dot product, "distance" by (squared) Euclidean distance. Ties, as everywhere: the lower gallery
            index is ahead.

    Raises:
        UserError: no query or no gallery item; a rule that needs clothes labels meets unknown ones.
        WorkError: features that are not finite.
    """
    _check_sizes(len(query), len(gallery), query_labels, gallery_labels)
    for name, features in (("query", query), ("gallery", gallery)):
        _check_finite(features, f"{name} feature")
    closeness_of = closeness_to(gallery.float(), measure)
    blocks = (closeness_of(rows) for rows in torch.split(query.float(), max(1, block_elements // len(gallery))))
    return _rank(blocks, query_labels, gallery_labels, rule)


def rank_matrix(
    matrix: Tensor | NDArray[np.floating],
    query_labels: Labels,
    gallery_labels: Labels,
    rule: Rule,
    measure: Measure = "similarity",
    block_elements: int = _BLOCK_ELEMENTS,
) -> Ranking:
    """Rank by a given (Q, G) matrix of similarities (larger is closer) or distances (smaller is closer).

    Raises:
        UserError, WorkError: as `rank_features`.
    """
    values = torch.as_tensor(matrix)
    _check_sizes(values.shape[0], values.shape[1], query_labels, gallery_labels)
    _check_finite(values, measure)
    # A copy, since a block is written to.
    blocks = (closeness(rows, measure).clone() for rows in torch.split(values, max(1, block_elements // values.shape[1])))
    return _rank(blocks, query_labels, gallery_labels, rule)


def rank_blocks(blocks: Iterable[Tensor], query_labels: Labels, gallery_labels: Labels, rule: Rule) -> Ranking:
    """Rank by distances (smaller is closer) that come in blocks (b, G) of consecutive queries; the blocks are overwritten.

    Raises:
        UserError: a rule that needs clothes labels meets unknown ones.
    """
    return _rank((block.neg_() for block in blocks), query_labels, gallery_labels, rule)


def _rank(blocks: Iterable[Tensor], query: Labels, gallery: Labels, rule: Rule) -> Ranking:
    """``blocks`` are (b, G) closeness values of consecutive queries; they are overwritten."""
    index = GalleryIndex(gallery)
    parts: list[list[NDArray[np.generic]]] = []
    start = 0
    for block in blocks:
        part = query.rows(slice(start, start + len(block)))
        matches, ignored = index.pairs(part, rule)
        block[_on(block, ignored.query), _on(block, ignored.gallery)] = -torch.inf
        ahead = count_ahead(block, matches.query, matches.gallery)
        parts.append(_per_query(matches.query, ahead + 1, len(block)))
        start += len(block)
    valid, first, precision, penalty, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Ranking(valid, first, precision, penalty, count, len(gallery))


def _per_query(row: NDArray[np.int64], rank: NDArray[np.int64], queries: int) -> list[NDArray[np.generic]]:
    """From (query row, rank) of every match, rows ascending, to the five columns of `Ranking`."""
    rank = rank[np.lexsort((rank, row))]
    count = np.bincount(row, minlength=queries)
    valid = count > 0
    start = np.concatenate(([0], np.cumsum(count)[:-1]))
    nth = np.arange(len(row)) - start[row] + 1
    precision = np.bincount(row, weights=nth / rank, minlength=queries)
    first = np.zeros(queries, np.int64)
    first[valid] = rank[start[valid]]
    last = np.ones(queries, np.int64)
    last[valid] = rank[(start + count - 1)[valid]]
    divisor = np.where(valid, count, np.nan)
    return [valid, first, precision / divisor, divisor / last, count]


def _on(block: Tensor, index: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(index).to(block.device)


def _check_sizes(queries: int, items: int, query: Labels, gallery: Labels) -> None:
    for name, given, labels in (("query", queries, query), ("gallery", items, gallery)):
        if given == 0:
            raise UserError(f"The {name} set is empty.", "Check the split and camera names of the protocol, and the data set.")
        if given != len(labels):
            raise ValueError(f"{given} {name} rows but {len(labels)} {name} labels")


def _check_finite(values: Tensor, what: str) -> None:
    if all(torch.isfinite(extreme) for extreme in torch.aminmax(values)):  # NaN is passed on; far cheaper than testing every value
        return
    bad = (~torch.isfinite(values)).flatten(1).any(dim=1).nonzero().flatten()
    raise WorkError(f"{len(bad)} {what} rows are not finite, the first is row {int(bad[0])}.", "Check the model's weights and --precision.")


@dataclass(frozen=True)
class Metrics:
    """Result of one protocol. Shares of the valid queries, 0 to 1 (not percent).

    Attributes:
        R1, R5, R10, R20: CMC at these ranks.
        mAP: mean average precision, precision at hit.
        mINP: mean inverse negative penalty.
        queries: queries before any skipping.
        valid: queries with at least one match; the divisor of all means.
        skipped: queries without a match.
        gallery: gallery items.
        R1_interval, mAP_interval: bootstrap 95% intervals over the valid queries; None when not computed.
    """

    R1: float
    R5: float
    R10: float
    R20: float
    mAP: float  # noqa: N815 - the field's spelling
    mINP: float  # noqa: N815
    queries: int
    valid: int
    skipped: int
    gallery: int
    R1_interval: tuple[float, float] | None = None
    mAP_interval: tuple[float, float] | None = None  # noqa: N815


def summarise(ranking: Ranking) -> Metrics:
    """Means over the valid queries.

    Raises:
        UserError: no query has a match.
    """
    require_valid(ranking)
    valid = ranking.valid
    r1, r5, r10, r20 = (float((ranking.first_rank[valid] <= k).mean()) for k in (1, 5, 10, 20))
    return Metrics(
        R1=r1,
        R5=r5,
        R10=r10,
        R20=r20,
        mAP=float(ranking.average_precision[valid].mean()),
        mINP=float(ranking.inverse_negative_penalty[valid].mean()),
        queries=len(valid),
        valid=int(valid.sum()),
        skipped=int((~valid).sum()),
        gallery=ranking.gallery,
    )


def cmc(ranking: Ranking, ranks: int | None = None) -> NDArray[np.float64]:
    """CMC(k) for k = 1 .. ``ranks`` (default: the gallery's size): share of valid queries whose first match has rank <= k.

    Raises:
        UserError: no query has a match.
    """
    require_valid(ranking)
    length = ranking.gallery if ranks is None else ranks
    first = ranking.first_rank[ranking.valid]
    hits = np.bincount(np.minimum(first, length + 1), minlength=length + 2)[1 : length + 1]
    curve: NDArray[np.float64] = np.cumsum(hits) / len(first)
    return curve


def require_valid(*rankings: Ranking, context: Sequence[str] = ()) -> None:
    """Refuse a result without any valid query, whose means would be 0/0."""
    if not any(r.valid.any() for r in rankings):
        where = f" ({', '.join(context)})" if context else ""
        raise UserError(
            f"None of the {len(rankings[0].valid)} queries has a match in the gallery{where}.",
            "Query and gallery must share identities seen by different cameras, or, for cloth-changing, in different clothes; "
            "try another --protocol.",
        )
