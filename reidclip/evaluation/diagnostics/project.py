"""Features of some people in the plane (CCAF, figure 7): principal components, or t-SNE where scikit-learn is installed.

scikit-learn brings SciPy along, together some 200 MB that nothing else here needs, so it is an extra (``pip install 'reidclip[tsne]'``).
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidclip.records import Sample

MOST_PICTURES = 24  # of one identity
Way = Literal["pca", "t-sne"]


def choose_people(samples: Sequence[Sample], people: int) -> list[int]:
    """Indices of the pictures of some identities: those with the most outfits, then the most pictures, then the smallest number.

    Of an identity with many pictures, evenly spread ones (outfits in order).
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        if sample.pid >= 0:
            members[sample.pid].append(index)

    def rank(pid: int) -> tuple[int, int, int]:
        return -len({samples[i].clothes_id for i in members[pid]}), -len(members[pid]), pid

    chosen: list[int] = []
    for pid in sorted(members, key=rank)[:people]:
        own = sorted(members[pid], key=lambda i: (samples[i].clothes_id, samples[i].path))
        picked = np.linspace(0, len(own) - 1, min(len(own), MOST_PICTURES)).round().astype(int)
        chosen += [own[i] for i in sorted(set(picked.tolist()))]
    return chosen


def project(features: Tensor, seed: int = 0) -> tuple[NDArray[np.float64], Way]:
    """(N, D) features, L2-normalised here, -> ((N, 2) positions, how).

    t-SNE (van der Maaten and Hinton, 2008) with perplexity 30, or a third of the points where that is less, started at the principal
    components, so that equal features give equal maps on one machine.

    Raises:
        ValueError: fewer than two features.
    """
    if len(features) < 2:
        raise ValueError("a map needs at least two features")
    rows = torch.nn.functional.normalize(features.double(), dim=1)
    centred = rows - rows.mean(dim=0)
    if importlib.util.find_spec("sklearn") is None or len(rows) < 10:
        return _principal(centred), "pca"
    from sklearn.manifold import TSNE

    tsne = TSNE(perplexity=min(30.0, (len(rows) - 1) / 3), init="pca", random_state=seed)
    return np.asarray(tsne.fit_transform(rows.float().numpy()), np.float64), "t-sne"


def _principal(centred: Tensor) -> NDArray[np.float64]:
    """The two directions of largest variance; each turned so that its largest loading is positive, since their sign means nothing."""
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    found = np.zeros((len(centred), 2))
    for axis, direction in enumerate(directions[:2]):
        sign = torch.sign(direction[direction.abs().argmax()])
        found[:, axis] = (centred @ direction * sign).numpy()
    return found
