"""How well the test features of a leave-one-out table's rows tell its data sets apart: a linear probe over every row, target and seed.

Each checkpoint gives features of the test pictures of all data sets, those that it was trained on (other people) and the one left out;
the probe (`reidclip.evaluation.diagnostics.domain_probe`) has to say from which one a picture comes, for people that it was not fitted to.

Example: python examples/ablation/domain_probe.py ablations/fgdi-table4/table.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ablation.results import Value

from reidclip.artifacts.store import Store
from reidclip.errors import ReidclipError
from reidclip.evaluation.diagnostics.domain_probe import DomainProbe, domain_probe
from reidclip.evaluation.protocols import required_samples
from reidclip.stages.evaluate import plan_evaluate
from reidclip.stages.evaluate_encoder import load_encoder
from reidclip.stages.evaluate_features import extract_features


def main() -> int:
    """Read the command line, probe every checkpoint, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="table.json of a leave-one-out table")
    parser.add_argument("--rows", help="only these rows, their names with | between")
    parser.add_argument("--store", type=Path, default=Path("artifacts"), help="where the table's artifacts are (default: artifacts)")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16")
    options = parser.parse_args()
    try:
        store, table = Store(options.store), json.loads(options.table.read_text(encoding="utf-8"))
        roots = {name: Path(target["test_data"]["root"]) for name, target in table["targets"].items()}
        print(
            f"| row | average over targets | {' | '.join(f'target {name}' for name in roots)} |\n|{'---|' * (len(roots) + 2)}", flush=True
        )
        for row in table["rows"]:
            if options.rows is None or row["name"] in options.rows.split("|"):
                found = {name: probes(store, row["targets"][name]["evaluations"], roots, options.precision) for name in roots}
                average = told(np.mean(list(found.values()), axis=0).tolist())
                print(f"| {row['name']} | {average} | {' | '.join(told(found[name]) for name in roots)} |", flush=True)
        print(f"\nAccuracy in per cent, chance {100 / len(roots):.0f}; brackets: 95% interval over seeds.")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}. The table is the table.json of run.py.", file=sys.stderr)
        return 2
    except (ReidclipError, KeyError, StopIteration, json.JSONDecodeError) as error:
        print(f"{error}\nTable and store must belong together, and the table must leave data sets out.", file=sys.stderr)
        return 2
    return 0


def probes(store: Store, evaluations: dict[str, str], roots: dict[str, Path], precision: str) -> list[float]:
    """Accuracy for the checkpoint of each seed, in the order of the seeds."""
    found = []
    for _, evaluation in sorted(evaluations.items(), key=lambda pair: int(pair[0])):
        inputs = store.open(evaluation).manifest.inputs
        checkpoint = next(one.ref for one in inputs if one.kind == "checkpoint")
        found.append(probe(store, checkpoint, list(roots.values()), precision).accuracy)
    return found


def probe(store: Store, checkpoint: str, roots: Sequence[Path], precision: str) -> DomainProbe:
    """The probe on the features that one checkpoint makes of all test sets; distractors, who are nobody, are left out."""
    features, people, domains = [], [], []
    for number, root in enumerate(roots):
        job = plan_evaluate(root, store, checkpoint=checkpoint, precision=precision, workers=0)
        known = tuple(s for s in required_samples(job.dataset, job.protocols) if s.pid >= 0 and s.pid not in job.dataset.distractors)
        features.append(extract_features(load_encoder(job), job, known).matrix)
        people += [(number, s.pid) for s in known]
        domains += [number] * len(known)
    dense = np.unique(np.array(people), axis=0, return_inverse=True)[1].astype(np.int64).reshape(-1)
    result = domain_probe(torch.cat(features), dense, np.array(domains, np.int64), resamples=0)
    assert result is not None, "the data sets have people"
    return result


def told(runs: list[float]) -> str:
    """Mean over seeds in per cent, with its interval when there are several."""
    value = Value.of(runs)
    return f"{100 * value.mean:.1f}" + (f" [{100 * value.interval[0]:.1f}, {100 * value.interval[1]:.1f}]" if value.interval else "")


if __name__ == "__main__":
    raise SystemExit(main())
