"""One round of questions to an index: exact or approximate neighbours, query expansion, re-ranking of the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reidclip.gallery.model import VectorModel
from reidclip.interfaces import IndexSession

if TYPE_CHECKING:
    from reidclip.evaluation.settings import RerankSettings


CANDIDATES = 10
"""Times as many answers as are shown are ordered anew by re-ranking."""


def ask(
    session: IndexSession,
    queries: np.ndarray,
    count: int,
    allowed: np.ndarray | None,
    model: VectorModel,
    rerank: RerankSettings | None = None,
    expand: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows of queries (Q, D) under one filter; arguments as in `reidclip.gallery.gallery.Gallery.search`.

    Returns:
        distances (Q, count) float32, ascending, and rows (Q, count) int64, -1 where there were no more.
    """
    if expand:
        queries = _expanded(session, queries, allowed, model, expand)
    if rerank is None:
        return session.search(queries, count, allowed)
    return _reranked(session, queries, count, allowed, rerank)


def _expanded(session: IndexSession, queries: np.ndarray, allowed: np.ndarray | None, model: VectorModel, expand: int) -> np.ndarray:
    """Queries averaged with their nearest that may answer (`reidclip.evaluation.expansion`)."""
    import torch

    from reidclip.evaluation.expansion import expanded

    _, rows = session.search(queries, expand, allowed)
    near = np.full((*rows.shape, queries.shape[1]), np.nan, dtype=np.float32)
    near[rows >= 0] = session.vectors(rows[rows >= 0])
    mixed: np.ndarray = expanded(torch.from_numpy(queries), torch.from_numpy(near), measure=model.measure).numpy()
    return mixed


def _reranked(
    session: IndexSession, queries: np.ndarray, count: int, allowed: np.ndarray | None, settings: RerankSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The best `CANDIDATES` times as many, ordered anew among themselves (`reidclip.evaluation.rerank`)."""
    from reidclip.evaluation.rerank import rerank_candidates

    _, rows = session.search(queries, max(CANDIDATES * count, settings.k1 + 1), allowed)
    distances = np.full(rows.shape, np.inf, dtype=np.float32)
    for number, found in enumerate(rows):
        known = found[found >= 0]
        far = rerank_candidates(queries[number], session.vectors(known), settings.k1, settings.k2, settings.lambda_)
        order = np.argsort(far, kind="stable")  # ties stay in the plain order
        rows[number, : len(known)], distances[number, : len(known)] = known[order], far[order]
    return distances[:, :count], rows[:, :count]
