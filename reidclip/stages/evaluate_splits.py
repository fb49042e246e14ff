"""What an evaluation keeps of random divisions: the divisions themselves, their digest, and the numbers of each."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reidclip.data.split_files import digest_of, splits_document
from reidclip.evaluation.protocols import Evaluation
from reidclip.records import Dataset

FILE = "splits.json"


def write_splits(folder: Path, dataset: Dataset, results: Sequence[Evaluation]) -> None:
    """The divisions that the results were averaged over, as ``splits.json``; nothing where there are none."""
    used = [name for result in results for name in result.divisions]
    if used:
        document = splits_document(dataset, {name: dataset.draws[name] for name in used})
        (folder / FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def told_of_splits(dataset: Dataset, result: Evaluation) -> dict[str, Any]:
    """One protocol's ``splits`` in metrics.json; nothing where there are none.

    Returns:
        ``{"splits": {"digest": SHA-256 of the divisions, "each": {name: its shares and counts}}}``.
    """
    if not result.divisions:
        return {}
    draws = {name: dataset.draws[name] for name in result.divisions}
    each = {}
    for name, division in result.divisions.items():
        metrics = division.metrics
        each[name] = {key: getattr(metrics, key) for key in ("R1", "R5", "R10", "R20", "mAP", "mINP", "queries", "valid", "gallery")}
        if not result.protocol.reports_map:
            each[name] |= {"mAP": None, "mINP": None}
    return {"splits": {"digest": digest_of(draws), "each": each}}


def write_ranks(path: Path, result: Evaluation) -> None:
    """One line per query (of the first repeat; of every random split): where its matches stand."""
    split = ["split"] if result.divisions else []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*split, "query", "pid", "valid", "matches", "first_rank", "average_precision"])
        for name, part in result.divisions.items() or [("", result)]:
            ranking = part.rankings[0]
            for i, sample in enumerate(part.query):
                valid = bool(ranking.valid[i])
                ap = f"{ranking.average_precision[i]:.6f}" if valid else ""
                first = int(ranking.first_rank[i]) if valid else ""
                writer.writerow([*([name] if name else []), sample.path, sample.pid, int(valid), int(ranking.matches[i]), first, ap])
