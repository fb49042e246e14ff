"""Which share of the attention of a table's rows lies on clothes: `reidclip explain --shares-only` over every row and seed.

Rows that nothing is trained for have no checkpoint and are left out (`reidclip import` makes one of a plain CLIP).

Example: python examples/ablation/attention_shares.py ablations/methods/table.json data/synthcc --split test-C --labels data/synthcc/parsing
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ablation.results import Value

from reidclip.artifacts.store import Store
from reidclip.errors import ReidclipError
from reidclip.stages.explain import explain, plan_explain
from reidclip.stages.explain_report import summary

REGIONS = ("clothes", "head", "limbs", "shoes", "background")


def main() -> int:
    """Read the command line, explain every row and seed, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="table.json that run.py wrote")
    parser.add_argument("data", type=Path, help="the data set whose pictures are looked at")
    parser.add_argument("--split", required=True, help="split of the data set")
    parser.add_argument("--labels", required=True, help="label maps: a folder, or a parsing or masks artifact")
    parser.add_argument("--map", default="auto", help="kind of map (default: auto)")
    parser.add_argument("--store", type=Path, default=Path("artifacts"), help="where the table's artifacts are (default: artifacts)")
    options = parser.parse_args()
    try:
        store = Store(options.store)
        print(f"| row | {' | '.join(REGIONS)} |\n|{'---|' * (len(REGIONS) + 1)}", flush=True)
        for row in json.loads(options.table.read_text(encoding="utf-8"))["rows"]:
            checkpoints = sorted({ref for one in row["evaluations"].values() if (ref := checkpoint_of(store, one))})
            runs = [shares(store, ref, options) for ref in checkpoints]
            if runs:
                print(f"| {row['name']} | {' | '.join(told([run[name][0] for run in runs]) for name in REGIONS)} |", flush=True)
                pixels = runs[0]
        print(f"| share of the pixels | {' | '.join(f'{100 * pixels[name][1]:.1f}' for name in REGIONS)} |")
        print("\nPer cent of the heat maps' mass, mean over pictures; brackets: 95% interval over seeds.")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}. The table is the table.json of run.py.", file=sys.stderr)
        return 2
    except (ReidclipError, KeyError, UnboundLocalError, json.JSONDecodeError) as error:
        print(f"{error}\nTable, data, label maps and store must belong together; --store names the store of the table.", file=sys.stderr)
        return 2
    return 0


def checkpoint_of(store: Store, evaluation: str) -> str | None:
    """The checkpoint that an evaluation read."""
    inputs = store.open(evaluation).manifest.inputs
    return next((one.ref for one in inputs if one.kind == "checkpoint"), None)


def shares(store: Store, checkpoint: str, options: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """By region the share of the maps' mass and the share of the pixels; regions that the label maps lack have none."""
    job = plan_explain(
        checkpoint, [options.data], store, shares_only=True, split=options.split, labels=options.labels, map=options.map, workers=0
    )
    (told_of,) = summary(job, explain(job))["checkpoints"]
    return {name: (told_of["shares"][name]["mass"], told_of["shares"][name]["pixels"]) for name in REGIONS}


def told(runs: list[float]) -> str:
    """Mean over seeds in per cent, with its interval when there are several."""
    value = Value.of(runs)
    return f"{100 * value.mean:.1f}" + (f" [{100 * value.interval[0]:.1f}, {100 * value.interval[1]:.1f}]" if value.interval else "")


if __name__ == "__main__":
    raise SystemExit(main())
