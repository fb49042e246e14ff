"""Render a fixed benchmark and check that it is the one that others have: what ``reidclip synth --preset`` does.

summary, check = render_benchmark("synthcc", Path("data/synthcc"))
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reidclip.errors import WorkError
from reidclip.stages.synth import Progress, SynthSummary, plan_synth, synth
from reidclip.stages.verify_report import Finding
from reidclip.synth.benchmarks import BENCHMARKS, benchmark, drawn_digest, file_digest
from reidclip.synth.files import PARAMETERS


@dataclass(frozen=True)
class BenchmarkCheck:
    """Whether a rendered set is the benchmark that its parameters say it is.

    Attributes:
        name: of the benchmark.
        drawn: people, outfits, cameras, poses and labels are the same.
        pixels: so is every byte of every picture; None when not looked at.
    """

    name: str
    drawn: bool
    pixels: bool | None


def render_benchmark(name: str, out: Path, *, workers: int = 1, progress: Progress | None = None) -> tuple[SynthSummary, BenchmarkCheck]:
    """Render a benchmark, or finish one that was interrupted, and compare it with its digests.

    Raises:
        UserError: no such benchmark, or a folder that holds something else.
        WorkError: what was drawn is not what the benchmark is.
    """
    summary = synth(out, **benchmark(name).parameters, workers=workers, progress=progress)
    check = check_benchmark(out, name)
    if not check.drawn:
        raise WorkError(f"{out} is not {name}: {_other_draw()}", "Numbers measured on it cannot be compared with those of others.")
    return summary, check


def check_benchmark(root: Path, name: str, pixels: bool = True) -> BenchmarkCheck:
    """Compare a rendered set with a benchmark's digests; ``pixels`` reads every file."""
    known = benchmark(name)
    return BenchmarkCheck(name, drawn_digest(root) == known.drawn, file_digest(root) == known.pixels if pixels else None)


def benchmark_in(root: Path) -> str | None:
    """Name of the benchmark whose parameters a folder's ``synth.json`` records, whatever its generator; None for every other set."""
    try:
        there = json.loads((root / PARAMETERS).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(there, dict):
        return None
    there.pop("generator", None)
    return next((name for name, known in BENCHMARKS.items() if plan_synth(**known.parameters).as_dict() == there), None)


def benchmark_findings(root: Path, name: str, pixels: bool) -> list[Finding]:
    """What `reidclip datasets verify` tells of a benchmark's content beside its counts."""
    try:
        check = check_benchmark(root, name, pixels)
    except (OSError, ValueError, KeyError) as error:
        return [Finding("fault", "counts", f"{name} cannot be compared with its digests: {error}. Repeat `reidclip synth --preset`.")]
    if not check.drawn:
        return [Finding("fault", "counts", f"This is not {name}: {_other_draw()} Numbers measured on it cannot be compared.")]
    return [Finding("warning", "pictures", f"{name}: {OTHER_PIXELS}")] if check.pixels is False else []


OTHER_PIXELS = (
    "the same people, clothes and labels, but not the same pixels to the last bit, as other processors or versions of NumPy, OpenCV "
    "and Pillow give them. Results differ by as much as between seeds, or less."
)


def _other_draw() -> str:
    return (
        "what was drawn has another digest. Either attributes.jsonl was changed, or the versions of NumPy and of this toolkit draw "
        "other random numbers."
    )
