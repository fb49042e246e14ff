"""Ranking against the bare matrix product of the same features, and its memory at MSMT17's size."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import numpy as np
import torch

from reidclip.evaluation.matching import Labels
from reidclip.evaluation.ranking import rank_features, summarise
from reidclip.records import Rule
from tests.bench.row import Row, seconds

WIDTH = 1280  # 768 + 512, the test feature of CLIP ViT-B/16
# name: (queries, gallery, identities, cameras, distractors in the gallery), as published
SIZES = {
    "Market-1501": (3368, 15913, 750, 6, 2798),
    "MSMT17": (11659, 82161, 3060, 15, 0),
    "PRCC": (3543, 3384, 71, 3, 0),
}


def size_of(name: str, quick: bool) -> tuple[int, int, int, int, int]:
    """A row of `SIZES`, with a tenth of the pictures when quick."""
    queries, items, people, cameras, distractors = SIZES[name]
    shrink = 10 if quick else 1
    return queries // shrink, items // shrink, people, cameras, distractors // shrink


def made_up(name: str, quick: bool) -> tuple[torch.Tensor, torch.Tensor, Labels, Labels]:
    """Features in which an identity's pictures lie closer, and labels, of a benchmark's size."""
    queries, items, people, cameras, distractors = size_of(name, quick)
    rng = np.random.default_rng(0)
    centres = torch.randn(people, WIDTH, generator=torch.Generator().manual_seed(0))

    def side(count: int, strangers: int) -> tuple[torch.Tensor, Labels]:
        pids = rng.integers(0, people, count)
        features = torch.randn(count, WIDTH).mul_(5).add_(centres[pids])
        features /= features.norm(dim=1, keepdim=True)
        pids[:strangers] = people
        return features, Labels(pids, rng.integers(0, cameras, count), np.zeros(count, np.int64))

    (query, query_labels), (gallery, gallery_labels) = side(queries, 0), side(items, distractors)
    return query, gallery, query_labels, gallery_labels


def measure(name: str, quick: bool, repeats: int) -> dict[str, float]:
    """Seconds of the product alone and of the whole ranking (best of ``repeats``, in turns), and this process's peak memory."""
    query, gallery, query_labels, gallery_labels = made_up(name, quick)
    rows = max(1, (1 << 24) // len(gallery))
    block = torch.empty(rows, len(gallery))

    def product() -> None:
        # Into one block, again and again: no time goes into fetching fresh memory.
        for part in query.split(rows):
            torch.mm(part, gallery.T, out=block[: len(part)])

    pairs = [
        (seconds(product), seconds(lambda: summarise(rank_features(query, gallery, query_labels, gallery_labels, Rule.STD))))
        for _ in range(repeats)
    ]
    bare, ranking = (min(column) for column in zip(*pairs, strict=True))
    return {"bare": bare, "ranking": ranking, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}  # Linux: KiB


def in_own_process(name: str, quick: bool, repeats: int) -> dict[str, float]:
    """`measure` in a fresh process, so that the peak memory is its own."""
    command = [sys.executable, "-m", "tests.bench.evaluate", name, str(int(quick)), str(repeats)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main(quick: bool) -> list[Row]:
    """Ratio to the bare product at Market-1501 size; memory at MSMT17 size."""
    table = []
    for name, ratio, memory in (("Market-1501", 1.5, None), ("MSMT17", None, 3.0), ("PRCC", None, None)):
        figures = in_own_process(name, quick, repeats=1 if name == "MSMT17" else 3)
        queries, items, *_ = size_of(name, quick)
        size = f"{name} ({queries} x {items} x {WIDTH})"
        note = f"ranking {figures['ranking']:.2f} s, product {figures['bare']:.2f} s"
        table.append(Row(f"evaluation / bare product, {size}", figures["ranking"] / figures["bare"], "x", ratio, False, note))
        table.append(Row(f"peak memory, {size}", figures["peak_gb"], "GB", memory, False, "whole process, features and torch included"))
    return table


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], bool(int(sys.argv[2])), int(sys.argv[3]))))
