"""The gates of a rendered benchmark and of a CLIP on it, as one table; exit code 1 when one is not met.

python examples/synthcc_gates/gates.py data/synthcc
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from benchmark import KEYS, benchmark_gates, rows_of
from clip_gates import clip_rows, prompt_gate, row_gates, said_of_people
from gate import Gate, table
from network import Recipe
from pictures import load_pictures
from rows import HEAD, PROTOCOLS, Row
from runs import Runs

from reidclip.artifacts.durable import write_durable
from reidclip.cli.app import error_boundary
from reidclip.cli.console import progress_bar, say, set_quiet
from reidclip.clip.load import load_clip
from reidclip.data.open import open_dataset
from reidclip.errors import UserError, nearest
from reidclip.evaluation.protocols import find_protocol
from reidclip.stages.benchmarks import render_benchmark
from reidclip.stages.synth import default_workers, synth
from reidclip.synth.benchmarks import BENCHMARKS
from reidclip.synth.files import ATTRIBUTES, PARAMETERS

PARTS = ("benchmark", "clip")
DRAWS = 200
HELD_OUT: dict[str, Any] = {"layout": "pairs", "ids": 300, "images_per_camera": 2, "seed": 99}
QUICK: dict[str, Any] = {**BENCHMARKS["synthcc"].parameters, "ids": 32, "test_ids": 12, "images_per_camera": 2, "size": (128, 64)}
QUICK_HELD_OUT: dict[str, Any] = {**HELD_OUT, "ids": 24, "size": (128, 64)}
QUICK_CHANGES = ("finetune.epochs=1", "finetune.warmup_epochs=0", "prompt-learn.epochs=2", "prompt-learn.warmup_epochs=0")


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, help="synthcc, or another rendered set of PRCC's tree with its control; rendered when not there")
    made.add_argument("--clip", default="reidclip-tiny", help="the CLIP to measure: reidclip-tiny (default), ARCH:TAG or a weights file")
    made.add_argument("--held-out", type=Path, help="other people for captions and sentences (synth --layout pairs); rendered by default")
    made.add_argument("--only", choices=PARTS, help="gates of the benchmark alone, or of the CLIP alone")
    made.add_argument("--rows", default=",".join(KEYS), help="which rows of the benchmark, of %(default)s; shielded and raw take long")
    made.add_argument("--epochs", type=int, help=f"of the plain networks (default: {Recipe.epochs})")
    made.add_argument("--height", type=int, default=128, help="plain networks see pictures of HEIGHT x HEIGHT / 2")
    made.add_argument("--recipe", default="tiny", help="of the trainings that start from the CLIP")
    made.add_argument(
        "--set", action="append", default=[], metavar="COMMAND.KEY=VALUE", help="change a setting of the recipe: finetune.lr=1e-3"
    )
    made.add_argument("--seed", type=int, default=0, help="of all trainings")
    made.add_argument("--threads", type=int, help="of PyTorch (default: its own choice)")
    made.add_argument("--precision", default="fp32", help="of the trainings that start from the CLIP: fp32, bf16")
    made.add_argument("--workers", type=int, help="processes that decode pictures")
    made.add_argument("--state", type=Path, default=Path("synthcc-gates"), help="what is made is kept there and taken again")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write rows and gates there")
    made.add_argument("--quick", action="store_true", help="few people and epochs: shows that all runs, its numbers mean nothing")
    made.add_argument("-q", "--quiet", action="store_true", help="print the tables only")
    made.add_argument("-v", "--verbose", action="store_true", help="add the traceback to an error")
    return made


def measure(options: argparse.Namespace) -> tuple[dict[str, Row], list[Gate]]:
    """All rows and gates that the options ask for; rows are printed as they are known."""
    keys, runs = _keys(options.rows), None
    if options.only != "benchmark":
        changes = (*(QUICK_CHANGES if options.quick else ()), *options.set)
        runs = Runs(load_clip(options.clip), options.state, options.recipe, changes, options.seed, options.precision, options.workers)
        _check_held_out(options.held_out)
    _render(options.data, QUICK if options.quick else None)
    dataset = open_dataset(options.data)
    for protocol in PROTOCOLS:
        find_protocol(dataset, protocol)
    people = len({s.pid for s in dataset.samples if s.split == "test-A"})
    rows: dict[str, Row] = {}
    of_clip: list[Gate] = []
    print(HEAD, flush=True)
    if options.only != "clip":
        options.epochs = options.epochs or (1 if options.quick else Recipe.epochs)
        rows |= rows_of(load_pictures(options.data, (options.height, options.height // 2)), options, keys)
    if runs is not None:
        rows |= clip_rows(runs, dataset)
        said = said_of_people(runs, _held_out(options), 10 if options.quick else DRAWS)
        of_clip = [*said, *row_gates(rows, people), prompt_gate(runs, dataset)]
    return rows, [*benchmark_gates(rows, people), *of_clip]


def _keys(text: str) -> list[str]:
    wanted = [key for key in text.split(",") if key]
    unknown = next((key for key in wanted if key not in KEYS), None)
    if unknown is not None:
        raise UserError(f"There is no row '{unknown}'.", nearest(unknown, KEYS))
    return [key for key in KEYS if key in wanted]


def _check_held_out(root: Path | None) -> None:
    if root is not None and not (root / ATTRIBUTES).is_file():
        raise UserError(f"{root} has no {ATTRIBUTES}.", "Render one: reidclip synth OUT --layout pairs.")


def _held_out(options: argparse.Namespace) -> Path:
    """The folder named, else the one of the state folder, rendered when it is not there."""
    if options.held_out is not None:
        return Path(options.held_out)
    parameters = QUICK_HELD_OUT if options.quick else HELD_OUT
    out: Path = options.state / f"held-out-{parameters['ids']}"
    _render(out, parameters)
    return out


def _render(out: Path, parameters: dict[str, Any] | None) -> None:
    """Render what is not there, or go on with it; None is the benchmark itself."""
    if (out / ATTRIBUTES).is_file() or (out.is_dir() and not (out / PARAMETERS).is_file()):
        return  # finished; or no rendered set, which is told when it is read
    with progress_bar(f"rendering {out}", "pictures") as told:
        if parameters is None:
            render_benchmark("synthcc", out, workers=default_workers(), progress=told)
        else:
            synth(out, **parameters, workers=default_workers(), progress=told)


def _write(path: Path, options: argparse.Namespace, rows: dict[str, Row], gates: Sequence[Gate]) -> None:
    facts = {
        "data": str(options.data),
        "clip": options.clip,
        "seed": options.seed,
        "quick": options.quick,
        "set": options.set,
        "rows": {key: dataclasses.asdict(row) for key, row in rows.items()},
        "gates": [dataclasses.asdict(gate) for gate in gates],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durable(path, json.dumps(facts, indent=1).encode() + b"\n")
    say(f"wrote {path}")


def main() -> None:
    """Print rows and gates; exit code 1 when a gate is not met."""
    options = parser().parse_args()
    set_quiet(options.quiet)
    if options.threads:
        torch.set_num_threads(options.threads)
    with error_boundary(options.verbose):
        rows, gates = measure(options)
        print(f"\n{table(gates)}")
        if options.quick:
            print("\n--quick: few people and hardly any training. It shows that everything runs; whether gates are met means nothing.")
        if options.json is not None:
            _write(options.json, options, rows, gates)
    sys.exit(0 if all(gate.met for gate in gates) else 1)


if __name__ == "__main__":
    main()
