"""Run a table: python examples/ablation/run.py TABLE.toml [--dry-run]. See README.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablation.command import run_table
from ablation.own_words import in_words_of_a_table

from reidclip.cli.app import error_boundary
from reidclip.cli.console import set_quiet


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description="Run a table of methods, switches and seeds; a second run goes on where the first ended.")
    made.add_argument("table", type=Path, help="the TOML that describes it")
    made.add_argument(
        "--data",
        type=Path,
        action="append",
        help="another folder of data than the table's, with the label maps below it; repeat for several",
    )
    made.add_argument("--seeds", type=_seeds, help="other seeds than the table's: 0,1,2")
    made.add_argument(
        "--targets", type=_names, help="of a table with leave_one_out these targets alone, by name or by number from 1: 4 or 1,3"
    )
    made.add_argument("--set", action="append", default=[], metavar="COMMAND.KEY=VALUE", help="change [settings]: finetune.epochs=2")
    made.add_argument("--store", type=Path, default=Path("artifacts"), help="where artifacts are read and written (default: artifacts)")
    made.add_argument("--out", type=Path, help="folder of table.md and table.json (default: ablations/TABLE)")
    made.add_argument("--budget", choices=("same", "any"), default="same", help="refuse rows that train longer than others, or allow them")
    made.add_argument("--resamples", type=int, default=10_000, help="of permutation tests and bootstrap (default: 10000)")
    made.add_argument(
        "--dry-run", action="store_true", help="tell rows, what they share, and how long it takes; a short trial takes the time"
    )
    made.add_argument("--no-trial", action="store_true", help="with --dry-run: estimate from finished steps alone")
    made.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: auto)")
    made.add_argument("--precision", default="fp32", help="fp32, bf16; on CUDA also tf32, fp16")
    made.add_argument("--workers", type=int, help="processes that decode pictures")
    made.add_argument("--save-every", type=float, default=120.0, metavar="SECONDS", help="how often the state of a training is kept")
    made.add_argument("-q", "--quiet", action="store_true", help="print the table only")
    made.add_argument("-v", "--verbose", action="store_true", help="add the traceback to an error")
    return made


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"not numbers with commas between: {text}") from None
    if min(seeds) < 0:
        raise argparse.ArgumentTypeError(f"seeds count from 0: {text}")
    return seeds


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for piece in text.split(",") if (part := piece.strip()))


def main() -> None:
    """Entry point; exit codes as of the reidclip command."""
    options = parser().parse_args()
    set_quiet(options.quiet)
    with error_boundary(options.verbose), in_words_of_a_table():
        run_table(options)
    sys.exit(0)


if __name__ == "__main__":
    main()
