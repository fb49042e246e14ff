"""k-reciprocal re-ranking (Zhong, Zheng, Cao, Li: "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).

Two pictures of one person tend to have the same neighbours: distances are mixed with the Jaccard distance of neighbourhoods, taken among
queries and gallery together. As in the authors' program distances are squared Euclidean ones, each query's divided by its furthest
picture's, labels are not looked at, and a protocol's rule is applied to the result.

The (Q + G)^2 matrix is never held: neighbours are found block by block, encodings are sparse, and the result comes in blocks of queries.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from reidclip.errors import UserError
from reidclip.evaluation.rerank_encoding import SparseRows, encode
from reidclip.evaluation.rerank_neighbours import Neighbours, Progress, SquaredDistances, find_neighbours
from reidclip.evaluation.settings import RerankSettings as RerankSettings  # who re-ranks finds it here

_BLOCK_ELEMENTS = 1 << 24  # 64 MiB of float32 distances


def reranked_blocks(
    query: Tensor,
    gallery: Tensor,
    settings: RerankSettings | None = None,
    block_elements: int = _BLOCK_ELEMENTS,
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """d* of Eq. (12), smaller is closer, in blocks of consecutive queries.

    Args:
        query: (Q, D) float32; of unit length where cosine is meant.
        gallery: (G, D), on the same device.
        settings: k1, k2 and lambda; None takes the authors'.
        block_elements: distances held at once; bounds the memory, and changes nothing else.
        progress: told how many of the Q + G pictures' neighbours are found.

    Yields:
        (b, G) float32 on the CPU, b queries at a time.

    Raises:
        UserError: k1 is larger than the gallery.
    """
    chosen = settings or RerankSettings()
    if chosen.k1 > len(gallery):
        raise UserError(f"Re-ranking with k1 = {chosen.k1} needs as many pictures; the gallery has {len(gallery)}.", "Take a smaller k1.")
    distances = SquaredDistances(torch.cat([query, gallery]))
    neighbours = find_neighbours(distances, max(chosen.k1 + 1, chosen.k2), block_elements, progress)
    encoded = encode(distances, neighbours, chosen.k1, chosen.k2)
    return _blocks(distances, neighbours, encoded, len(query), chosen.lambda_, max(1, block_elements // len(gallery)))


def rerank_distances(
    query: Tensor, gallery: Tensor, settings: RerankSettings | None = None, block_elements: int = _BLOCK_ELEMENTS
) -> Tensor:
    """All of `reranked_blocks` as one matrix: (Q, D), (G, D) -> (Q, G)."""
    return torch.cat(list(reranked_blocks(query, gallery, settings, block_elements)))


def rerank_candidates(query: ArrayLike, candidates: ArrayLike, k1: int = 20, k2: int = 6, lambda_: float = 0.3) -> NDArray[np.float32]:
    """Distances of one query to the candidates that a search found, by k-reciprocal re-ranking among these alone.

    It is an approximation of re-ranking the whole gallery, whose other pictures are nobody's neighbours here.

    Args:
        query: (D,) float.
        candidates: (C, D); a search asks for several times as many as it shows.
        k1, k2, lambda_: see `RerankSettings`; a k1 larger than C is taken as C, since filters may leave few.

    Returns:
        (C,) float32 in the order of the candidates, smaller is closer.
    """
    items = torch.as_tensor(np.asarray(candidates, np.float32))
    if not len(items):
        return np.zeros(0, np.float32)
    settings = RerankSettings(k1=min(k1, len(items)), k2=k2, lambda_=lambda_)
    found: NDArray[np.float32] = rerank_distances(torch.as_tensor(np.asarray(query, np.float32))[None], items, settings)[0].numpy()
    return found


def _blocks(
    distances: SquaredDistances, neighbours: Neighbours, encoded: SparseRows, queries: int, lambda_: float, step: int
) -> Iterator[Tensor]:
    inverted = encoded.inverted(len(distances), queries)
    for start in range(0, queries, step):
        part = slice(start, min(start + step, queries))
        original = distances.block(part, slice(queries, None)).cpu()
        original /= torch.from_numpy(neighbours.furthest[part])[:, None]
        jaccard = np.stack([_jaccard(encoded, inverted, row, original.shape[1]) for row in range(part.start, part.stop)])
        yield original.mul_(lambda_).add_(torch.from_numpy(jaccard), alpha=1 - lambda_)


def _jaccard(encoded: SparseRows, inverted: SparseRows, query: int, gallery: int) -> NDArray[np.float32]:
    """d_J of one query to the gallery (G,), Eq. (10): 1 - sum min(V_p, V_g) / sum max(V_p, V_g), by inverted lists.

    Rows sum to 1, so the sum of the larger values is 2 less the sum of the smaller ones.
    """
    columns, values = encoded.row(query)
    position, items, theirs = inverted.of(columns.astype(np.int64))
    common = np.bincount(items, weights=np.minimum(values[position], theirs), minlength=gallery)
    return (1 - common / (2 - common)).astype(np.float32)
