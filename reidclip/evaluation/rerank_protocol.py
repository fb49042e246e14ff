"""A protocol ranked again, with expanded queries and by k-reciprocal re-ranking, beside its plain result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from reidclip.errors import UserError
from reidclip.evaluation.expansion import expand_queries
from reidclip.evaluation.matching import Labels
from reidclip.evaluation.protocols import Evaluation, Features, Rank, evaluate_protocol
from reidclip.evaluation.ranking import Ranking, rank_blocks, rank_features
from reidclip.evaluation.rerank import reranked_blocks
from reidclip.evaluation.rerank_neighbours import Progress
from reidclip.evaluation.settings import EvaluateSettings, ExpansionSettings, RerankSettings
from reidclip.formulas.distances import Measure
from reidclip.records import Dataset, Protocol, Rule


def ways(settings: EvaluateSettings) -> dict[str, tuple[ExpansionSettings, RerankSettings | None]]:
    """By name, how the ranking is done again: "expanded", and "reranked", of the expanded queries where both are asked for."""
    found: dict[str, tuple[ExpansionSettings, RerankSettings | None]] = {}
    if settings.expand:
        found["expanded"] = (settings.expansion, None)
    if settings.reranking:
        found["reranked"] = (settings.expansion, settings.reranking)
    return found


def told(expansion: ExpansionSettings, rerank: RerankSettings | None) -> dict[str, Any]:
    """The settings of one way, for metrics.json."""
    parts: dict[str, Any] = {}
    if rerank:
        parts |= {"k1": rerank.k1, "k2": rerank.k2, "lambda": rerank.lambda_}
    if expansion.count:
        parts |= {"expand": expansion.count, "alpha": expansion.alpha, "gallery": expansion.gallery}
    return parts


def check_sizes(dataset: Dataset, protocol: Protocol, settings: EvaluateSettings) -> None:
    """That the protocol's galleries hold as many pictures as the settings look at.

    Raises:
        UserError: one does not, with the key to change.
    """
    wanted = {"rerank_k1": settings.rerank_k1 if settings.rerank else 0, "expand": settings.expand}
    if settings.expand:
        wanted["expand"] += settings.expand_gallery  # a picture is none of its own neighbours
    for draw in protocol.draws or (None,):
        _, gallery = dataset.query_and_gallery(protocol, draw)
        for key, count in wanted.items():
            if count > len(gallery):
                raise UserError(
                    f"{key} = {getattr(settings, key)} is too large for protocol {protocol.name}: its gallery has {len(gallery)} pictures.",
                    f"Take a smaller one: --set {key}={max(1, len(gallery) // 2)}, or name another --protocol.",
                )


def evaluate_again(
    dataset: Dataset,
    protocol: Protocol,
    features: Features,
    settings: EvaluateSettings,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Mapping[str, Evaluation]:
    """The protocol's result by each of the `ways`; each gallery of random divisions is ranked again, and the mean taken.

    Queries of one gallery are each other's neighbours too, as in the published programs. Of a single-shot protocol there is none: a
    gallery of one picture per person holds no neighbourhoods, and no published program re-ranks one.

    Args:
        progress: told of re-ranking: "re-ranking PROTOCOL", and how many pictures' neighbours are found.

    Raises:
        UserError, WorkError: as `evaluate_protocol`.
    """
    if protocol.single_shot_repeats:
        return {}

    def bar(done: int, total: int) -> None:
        if progress:
            progress(f"re-ranking {protocol.name}", done, total)

    return {
        name: evaluate_protocol(dataset, protocol, features, settings.resamples, seed, _rank(expansion, rerank, bar))
        for name, (expansion, rerank) in ways(settings).items()
    }


def _rank(expansion: ExpansionSettings, rerank: RerankSettings | None, progress: Progress) -> Rank:
    def rank(query: Tensor, gallery: Tensor, query_labels: Labels, gallery_labels: Labels, rule: Rule, measure: Measure) -> Ranking:
        query, gallery = expand_queries(query, gallery, expansion, measure)
        if rerank is None:
            return rank_features(query, gallery, query_labels, gallery_labels, rule, measure=measure)
        return rank_blocks(reranked_blocks(query, gallery, rerank, progress=progress), query_labels, gallery_labels, rule)

    return rank
