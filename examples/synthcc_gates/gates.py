"""The gates of a rendered benchmark as one table: clothes say nothing about who it is, and people can be told apart.

python examples/synthcc_gates/gates.py data/synthcc
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from features import Float, clothes_attributes, clothes_histogram, identity_attributes, random_features, zero_shot
from network import Recipe, encode, train
from pictures import Pictures, load_pictures
from probe import discriminant, head_and_skin

from reidclip.evaluation.protocols import Features, evaluate_protocol

PROTOCOLS = ("same-clothes", "same-clothes-control", "cloth-changing")
KEYS = ("random", "words", "colours", "zero", "person", "probe", "shielded", "raw")
CLOTHES_MARGIN = 2.0  # points of R1 above chance that clothes may reach: two queries of a hundred
CONTROL_MARGIN = 15.0  # points of R1 that another camera may cost
VISIBLE = 30.0  # cloth-changing R1 of a plain network on shielded pictures


@dataclass(frozen=True)
class Row:
    """One kind of feature: (R1, mAP) in percent under each protocol of PROTOCOLS, the interval of the last R1, and the seconds taken."""

    name: str
    scores: dict[str, tuple[float, float]]
    interval: tuple[float, float]
    seconds: float

    @property
    def cloth_changing(self) -> float:
        """R1 in percent."""
        return self.scores["cloth-changing"][0]

    @property
    def camera_costs(self) -> float:
        """R1 of A-B less that of the same clothes under camera C."""
        return self.scores["same-clothes"][0] - self.scores["same-clothes-control"][0]

    def line(self) -> str:
        """A row of the table, in Markdown."""
        cells = " | ".join(f"{r1:.1f} / {mean:.1f}" for r1, mean in (self.scores[p] for p in PROTOCOLS))
        return f"| {self.name} | {cells} | {self.interval[0]:.1f} to {self.interval[1]:.1f} | {self.seconds:.0f} |"


def measure(pictures: Pictures, name: str, features: Callable[[], Float]) -> Row:
    """Compute features (N, D) of all pictures and rank with them."""
    start = time.monotonic()
    matrix = torch.from_numpy(np.ascontiguousarray(features()))
    found = Features(tuple(s.path for s in pictures.samples), matrix)
    scores, interval = {}, (0.0, 0.0)
    for name_of in PROTOCOLS:
        protocol = pictures.dataset.protocol(name_of)
        assert protocol is not None  # load_pictures has seen to it
        metrics = evaluate_protocol(pictures.dataset, protocol, found).metrics
        scores[name_of] = (metrics.R1 * 100, metrics.mAP * 100)
        if metrics.R1_interval is not None:
            interval = (metrics.R1_interval[0] * 100, metrics.R1_interval[1] * 100)
    row = Row(name, scores, interval, time.monotonic() - start)
    print(row.line(), flush=True)
    return row


def rows_of(pictures: Pictures, options: argparse.Namespace, keys: Sequence[str] = KEYS) -> dict[str, Row]:
    """The rows of the table by key, in order."""
    rows, pids = pictures.train, np.array([pictures.samples[i].pid for i in pictures.train])

    def probe() -> Float:
        head = head_and_skin(pictures)
        return discriminant(head[rows], pids, head)

    def network(kind: str) -> Float:
        images = pictures.shielded() if kind == "shielded" else pictures.images
        recipe = Recipe(epochs=options.epochs, seed=options.seed)
        return encode(train(images[rows], pids, recipe, options.state / f"{kind}-{options.seed}"), images)

    table: dict[str, tuple[str, Callable[[], Float]]] = {
        "random": ("nothing (random features)", lambda: random_features(pictures)),
        "words": ("clothes: their true description", lambda: clothes_attributes(pictures)),
        "colours": ("clothes: colours by true label maps", lambda: clothes_histogram(pictures)),
        "zero": ("reidclip-tiny, not trained on this", lambda: zero_shot(pictures.images)),
        "person": ("person: the true description", lambda: identity_attributes(pictures)),
        "probe": ("person: colours of head and skin, linear metric", probe),
        "shielded": ("plain network on shielded pictures", lambda: network("shielded")),
        "raw": ("plain network on whole pictures", lambda: network("raw")),
    }
    print("| features | " + " | ".join(f"{p} R1 / mAP" for p in PROTOCOLS) + " | 95% interval | seconds |\n|---|---|---|---|---|---|")
    return {key: measure(pictures, *table[key]) for key in keys}


def gates(rows: dict[str, Row], people: int) -> list[tuple[str, bool]]:
    """What must hold, and whether it does; gates of rows that were not computed are left out."""
    chance = 100 / people
    out = []
    for row in (rows[key] for key in ("words", "colours") if key in rows):
        within = row.cloth_changing <= chance + CLOTHES_MARGIN
        out.append((f"{row.name}: {row.cloth_changing:.1f} cloth-changing, chance is {chance:.1f}", within))
    for row in (rows[key] for key in ("colours", "zero", "shielded", "raw") if key in rows):
        text = f"{row.name}: the other camera alone changes R1 by {row.camera_costs:.1f} points, at most {CONTROL_MARGIN:.0f}"
        out.append((text, abs(row.camera_costs) <= CONTROL_MARGIN))
    if "shielded" in rows:
        seen = rows["shielded"].cloth_changing
        out.append((f"people are visible: {seen:.1f} cloth-changing on shielded pictures, at least {VISIBLE:.0f}", seen >= VISIBLE))
        if "raw" in rows:
            raw = rows["raw"].cloth_changing
            out.append((f"clothes mislead: {raw:.1f} cloth-changing on whole pictures, at most half of {seen:.1f}", raw <= seen / 2))
    return out


def main() -> None:
    """Print the table and the gates; exit code 1 when one is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a rendered set of PRCC's tree with its control, such as synthcc")
    parser.add_argument("--rows", default=",".join(KEYS), help="which rows to measure, of %(default)s; shielded and raw take long")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--height", type=int, default=128, help="pictures are reduced to HEIGHT x HEIGHT / 2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path("synthcc-gates"), help="where trainings are kept, to go on when cut")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pictures = load_pictures(options.data, (options.height, options.height // 2))
    wanted = options.rows.split(",")
    rows = rows_of(pictures, options, [key for key in KEYS if key in wanted])
    told = gates(rows, len({s.pid for s in pictures.samples if s.split == "test-A"}))
    print("\n" + "\n".join(f"{'met    ' if met else 'NOT MET'}  {text}" for text, met in told))
    options.state.mkdir(parents=True, exist_ok=True)
    result = {"rows": {k: [r.name, r.scores, r.interval] for k, r in rows.items()}, "gates": told}
    (options.state / "gates.json").write_text(json.dumps(result, indent=1) + "\n")
    raise SystemExit(0 if all(met for _, met in told) else 1)


if __name__ == "__main__":
    main()
