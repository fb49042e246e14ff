"""What an evaluation keeps of its ranking done again: numbers beside the plain ones, and a table of ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reidclip.evaluation.protocols import Evaluation, Features
from reidclip.evaluation.rerank_protocol import check_sizes, evaluate_again, told, ways
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.records import Dataset, Protocol
from reidclip.stages.choose import Say
from reidclip.stages.evaluate_splits import write_ranks

WAYS = ("expanded", "reranked")
"""Keys of a protocol's entry in metrics.json that hold such numbers, and beginnings of the names of their tables."""


def check_again(dataset: Dataset, protocols: tuple[Protocol, ...], settings: EvaluateSettings, say: Say) -> None:
    """Before any work: that galleries are large enough; single-shot protocols, which are not ranked again, are told.

    Raises:
        UserError: a gallery with fewer pictures than the settings look at.
    """
    if not ways(settings):
        return
    for protocol in protocols:
        if protocol.single_shot_repeats:
            say(f"note: {protocol.name} is not ranked again: a gallery of one picture per person holds no neighbourhoods")
        else:
            check_sizes(dataset, protocol, settings)


def rank_again(
    dataset: Dataset,
    plain: Evaluation,
    features: Features,
    settings: EvaluateSettings,
    seed: int,
    folder: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """One protocol ranked again; writes ``expanded-PROTOCOL.csv`` and ``reranked-PROTOCOL.csv``, as ``ranks-PROTOCOL.csv`` is.

    Returns:
        what is added to its entry in metrics.json, by way: shares, counts, intervals, and the settings.
    """
    entries = {}
    for name, result in evaluate_again(dataset, plain.protocol, features, settings, seed, progress).items():
        write_ranks(folder / f"{name}-{plain.protocol.name}.csv", result)
        metrics = dataclasses.asdict(result.metrics)
        if not plain.protocol.reports_map:
            metrics |= {"mAP": None, "mINP": None, "mAP_interval": None}
        entries[name] = {**metrics, "settings": told(*ways(settings)[name])}
    return entries
