"""Whether the benchmark asks the right question: clothes say nothing about who it is, and people can be told apart."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from features import Float, clothes_attributes, clothes_histogram, identity_attributes, random_features
from gate import Gate
from network import Recipe, encode, train
from pictures import Pictures
from probe import discriminant, head_and_skin
from rows import PROTOCOLS, Row, row_of

from reidclip.evaluation.protocols import Features, evaluate_protocol, find_protocol

KEYS = ("random", "words", "colours", "person", "probe", "shielded", "raw")
CLOTHES_MARGIN = 2.0  # points of R1 above chance that clothes may reach: two queries of a hundred
CONTROL_MARGIN = 15.0  # points of R1 that another camera may cost
VISIBLE = 30.0  # cloth-changing R1 of a plain network on shielded pictures


def measure(pictures: Pictures, name: str, features: Callable[[], Float]) -> Row:
    """Compute features (N, D) of all pictures and rank with them."""
    start = time.monotonic()
    matrix = torch.from_numpy(np.ascontiguousarray(features()))
    found = Features(tuple(s.path for s in pictures.samples), matrix)
    evaluations = {p: evaluate_protocol(pictures.dataset, find_protocol(pictures.dataset, p), found) for p in PROTOCOLS}
    row = row_of(name, {p: dataclasses.asdict(e.metrics) for p, e in evaluations.items()}, time.monotonic() - start)
    print(row.line(), flush=True)
    return row


def rows_of(pictures: Pictures, options: argparse.Namespace, keys: Sequence[str] = KEYS) -> dict[str, Row]:
    """The rows of the table by key, in order; each is printed as it is known."""
    rows, pids = pictures.train, np.array([pictures.samples[i].pid for i in pictures.train])

    def probe() -> Float:
        head = head_and_skin(pictures)
        return discriminant(head[rows], pids, head)

    def network(kind: str) -> Float:
        images = pictures.shielded() if kind == "shielded" else pictures.images
        recipe = Recipe(epochs=options.epochs, seed=options.seed)
        size = "x".join(str(n) for n in images.shape[1:3])
        state = options.state / f"{kind}-{size}-{recipe.epochs}-{recipe.seed}-{pictures.dataset.fingerprint[:8]}"
        return encode(train(images[rows], pids, recipe, state), images)

    table: dict[str, tuple[str, Callable[[], Float]]] = {
        "random": ("nothing (random features)", lambda: random_features(pictures)),
        "words": ("clothes: their true description", lambda: clothes_attributes(pictures)),
        "colours": ("clothes: colours by true label maps", lambda: clothes_histogram(pictures)),
        "person": ("person: the true description", lambda: identity_attributes(pictures)),
        "probe": ("person: colours of head and skin, linear metric", probe),
        "shielded": ("plain network on shielded pictures", lambda: network("shielded")),
        "raw": ("plain network on whole pictures", lambda: network("raw")),
    }
    return {key: measure(pictures, *table[key]) for key in keys}


def benchmark_gates(rows: dict[str, Row], people: int) -> list[Gate]:
    """What must hold of the pictures, for those rows that were measured; "zero" is an untrained CLIP's row.

    Args:
        people: in the gallery; chance is one in so many.
    """
    chance = 100 / people
    gates = []
    for row in (rows[key] for key in ("words", "colours") if key in rows):
        most = chance + CLOTHES_MARGIN
        needed = f"cloth-changing R1 at most {most:.1f}"
        gates.append(Gate(row.name, needed, f"{row.cloth_changing:.1f}", row.cloth_changing <= most, f"{chance:.1f}"))
    for row in (rows[key] for key in ("colours", "zero", "shielded", "raw") if key in rows):
        needed = f"another camera alone changes R1 by at most {CONTROL_MARGIN:.0f}"
        gates.append(Gate(row.name, needed, f"{row.camera_costs:+.1f}", abs(row.camera_costs) <= CONTROL_MARGIN))
    if "shielded" in rows:
        seen, (low, high) = rows["shielded"].cloth_changing, rows["shielded"].interval
        needed = f"people are visible: cloth-changing R1 at least {VISIBLE:.0f}"
        gates.append(Gate(rows["shielded"].name, needed, f"{seen:.1f} ({low:.1f} to {high:.1f})", seen >= VISIBLE, f"{chance:.1f}"))
        if "raw" in rows:
            raw = rows["raw"].cloth_changing
            needed = f"clothes mislead: cloth-changing R1 at most half of {seen:.1f}"
            gates.append(Gate(rows["raw"].name, needed, f"{raw:.1f}", raw <= seen / 2, f"{chance:.1f}"))
    return gates
