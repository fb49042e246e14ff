"""Re-ranking: time and memory at Market-1501's size, and against a bare dense numpy program at a smaller one."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from reidclip.evaluation.rerank import rerank_distances, reranked_blocks
from reidclip.evaluation.settings import RerankSettings
from tests.bench.evaluate import SIZES
from tests.bench.row import Row

WIDTH = 512
SMALL = (500, 2500, 150)  # queries, gallery, identities
RUNS = 2  # of each program, of which the better counts
MODES = ("blocks", "features", "both")


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, of all its threads: other work on the machine counts nothing."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turn(programs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Of each program the less of two runs, in turn: what only a first run pays for, or other load, is nobody's advantage."""
    taken = [{name: processor_seconds(run) for name, run in programs.items()} for _ in range(RUNS)]
    return {name: min(one[name] for one in taken) for name in programs}


def made_up(queries: int, items: int, people: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit features in which an identity's pictures lie closer."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(people, WIDTH, generator=generator)

    def side(count: int) -> torch.Tensor:
        own = torch.randint(0, people, (count,), generator=generator)
        return torch.nn.functional.normalize(torch.randn(count, WIDTH, generator=generator) + centres[own], dim=1)

    return side(queries), side(items)


def dense(query: np.ndarray, gallery: np.ndarray, settings: RerankSettings) -> np.ndarray:
    """The same by whole matrices and a loop over rows, as one would write it without a thought for memory."""
    rows = np.concatenate([query, gallery])
    squares = (rows**2).sum(1)
    distance = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    np.fill_diagonal(distance, 0)
    distance /= distance.max(1, keepdims=True)
    order = np.argsort(distance, axis=1, kind="stable")
    half = round(settings.k1 / 2)

    def mutual(row: int, k: int) -> np.ndarray:
        own = order[row, : k + 1]
        return own[(order[own, : k + 1] == row).any(1)]

    encoded = np.zeros_like(distance)
    for row in range(len(rows)):
        found = near = mutual(row, settings.k1)
        for member in near:
            theirs = mutual(member, half)
            if len(np.intersect1d(theirs, near)) > 2 / 3 * len(theirs):
                found = np.union1d(found, theirs)
        weights = np.exp(-distance[row, found])
        encoded[row, found] = weights / weights.sum()
    if settings.k2 > 1:
        encoded = np.stack([encoded[order[row, : settings.k2]].mean(0) for row in range(len(rows))])
    result = np.empty((len(query), len(gallery)), np.float32)
    for row in range(len(query)):
        used = encoded[row].nonzero()[0]
        common = np.minimum(encoded[row, used], encoded[len(query) :, used]).sum(1)
        result[row] = (1 - common / (2 - common)) * (1 - settings.lambda_) + distance[row, len(query) :] * settings.lambda_
    return result


def measure(mode: str, quick: bool) -> dict[str, float]:
    """Processor seconds and peak memory of this process: the blocks alone, or the features alone; or both programs at the smaller size."""
    if mode == "both":
        query, gallery = made_up(*SMALL)
        settings = RerankSettings()
        found: dict[str, np.ndarray] = {}
        programs: dict[str, Callable[[], np.ndarray]] = {
            "ours": lambda: rerank_distances(query, gallery, settings).numpy(),
            "bare": lambda: dense(query.numpy(), gallery.numpy(), settings),
        }
        best = in_turn({name: lambda name=name, run=run: found.update({name: run()}) for name, run in programs.items()})  # type: ignore[misc]
        return {**best, "off": float(abs(found["ours"] - found["bare"]).max())}
    queries, items, people, *_ = SIZES["Market-1501"]
    shrink = 10 if quick else 1
    query, gallery = made_up(queries // shrink, items // shrink, people)
    taken = processor_seconds(lambda: [len(block) for block in reranked_blocks(query, gallery)]) if mode == "blocks" else 0.0
    return {"seconds": taken, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}  # Linux: KiB


def in_own_process(mode: str, quick: bool) -> dict[str, float]:
    """`measure` in a fresh process, so that the peak memory is its own."""
    command = [sys.executable, "-m", "tests.bench.rerank", mode, str(int(quick))]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main(quick: bool) -> list[Row]:
    """Market-1501's size, and the ratio to the dense program."""
    whole, before, small = (in_own_process(mode, quick) for mode in MODES)
    size = "Market-1501 (3368 x 15913 x 512)" + (" / 10" if quick else "")
    added = whole["peak_gb"] - before["peak_gb"]
    count = SIZES["Market-1501"][0] + SIZES["Market-1501"][1]
    full = f"the whole matrix of distances alone: {count**2 * 4 / 1e9:.1f} GB"
    note = f"processor time {small['bare']:.1f} s and {small['ours']:.2f} s; results {small['off']:.1g} apart"
    return [
        Row(f"re-ranking, {size}", whole["seconds"], "s", None, False, "processor time; k1 20, k2 6"),
        Row(f"memory beyond features and torch, {size}", added, "GB", 0.6, False, full),
        Row("dense numpy program / re-ranking, 500 x 2500 x 512", small["bare"] / small["ours"], "x", 3.0, True, note),
    ]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], bool(int(sys.argv[2])))))
