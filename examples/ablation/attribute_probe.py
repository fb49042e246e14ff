"""What a linear probe reads from the features of a table's rows: clothes of people that the probe has not seen, and who they are.

The probe of `evaluate --diagnostics` tells the outfits of one person apart, which works on any data but is soon near 100 %. Rendered
people come with every attribute, so here one probe for all people names the colour of the top. People are split into five parts: the
probe is fitted on four and asked about the fifth. It is ridge regression to one-hot labels on standardised features, the same
strength for all rows.

Example: python examples/ablation/attribute_probe.py ablations/methods/table.json data/synthcc
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ablation.results import Value
from safetensors.numpy import load_file

from reidclip.artifacts.store import Store
from reidclip.errors import ReidclipError

PARTS = 5
RIDGE = 100.0
ASKED: dict[str, Callable[[dict[str, Any]], str]] = {
    "colour of the top": lambda row: row["outfit"].get("top", {}).get("colour", "none"),
    "colour of the trousers": lambda row: row["outfit"].get("bottom", {}).get("colour", "none"),
    "gender": lambda row: row["identity"]["gender"],
    "hair colour": lambda row: row["identity"]["hair_colour"],
}


def main() -> int:
    """Read the command line, probe every row and seed, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="table.json that run.py wrote")
    parser.add_argument("data", type=Path, help="the rendered data set of that table")
    parser.add_argument("--store", type=Path, default=Path("artifacts"), help="where its artifacts are (default: artifacts)")
    options = parser.parse_args()
    try:
        attributes = {row["path"]: row for row in map(json.loads, (options.data / "attributes.jsonl").open(encoding="utf-8"))}
        rows = json.loads(options.table.read_text(encoding="utf-8"))["rows"]
        print(f"| row | {' | '.join(ASKED)} |\n|{'---|' * (len(ASKED) + 1)}", flush=True)
        chance: dict[str, float] = {}
        for row in rows:
            runs = [probed(Store(options.store), ref, attributes, chance) for ref in sorted(set(row["evaluations"].values()))]
            print(f"| {row['name']} | {' | '.join(told([run[name] for run in runs]) for name in ASKED)} |", flush=True)
        print(f"| always the most frequent answer | {' | '.join(f'{100 * chance[name]:.1f}' for name in ASKED)} |")
        print("\nPer cent of the test pictures named right by a probe fitted on other people; brackets: 95% interval over seeds.")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}. The table is the table.json of run.py, the data a rendered set.", file=sys.stderr)
        return 2
    except (ReidclipError, KeyError, json.JSONDecodeError) as error:
        print(f"{error}\nTable, data and store must belong together; --store names the store of the table.", file=sys.stderr)
        return 2
    return 0


def probed(store: Store, reference: str, attributes: dict[str, Any], chance: dict[str, float]) -> dict[str, float]:
    """Accuracy of the probe by attribute, for one evaluation; fills in the share of each attribute's most frequent value."""
    evaluation = store.open(reference)
    features = load_file(evaluation.file("features.safetensors"))["features"].astype(np.float64)
    paths = json.loads(evaluation.file("paths.json").read_text(encoding="utf-8"))
    shown = [attributes[path] for path in paths]
    people = np.array([row["pid"] for row in shown])
    found = {}
    for name, value_of in ASKED.items():
        values, labels = np.unique(np.array([value_of(row) for row in shown]), return_inverse=True)
        chance[name] = float(np.bincount(labels).max() / len(labels))
        found[name] = accuracy(features, labels, people, len(values))
    return found


def accuracy(features: npt.NDArray[np.float64], labels: npt.NDArray[np.intp], people: npt.NDArray[np.int64], classes: int) -> float:
    """Share of right answers about people that the probe was not fitted on; features (N, D), labels and people (N,)."""
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    part = np.searchsorted(np.unique(people), people) % PARTS
    right = np.zeros(len(labels), dtype=bool)
    for asked in range(PARTS):
        fit = part != asked
        mean, spread = features[fit].mean(0), features[fit].std(0) + 1e-12
        x = (features - mean) / spread
        targets = np.eye(classes)[labels[fit]]
        centre = targets.mean(0)
        weights = np.linalg.solve(x[fit].T @ x[fit] + RIDGE * np.eye(x.shape[1]), x[fit].T @ (targets - centre))
        right[~fit] = (x[~fit] @ weights + centre).argmax(1) == labels[~fit]
    return float(right.mean())


def told(runs: list[float]) -> str:
    """Mean over seeds in per cent, with its interval when there are several."""
    value = Value.of(runs)
    return f"{100 * value.mean:.1f}" + (f" [{100 * value.interval[0]:.1f}, {100 * value.interval[1]:.1f}]" if value.interval else "")


if __name__ == "__main__":
    raise SystemExit(main())
