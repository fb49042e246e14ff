"""The population that words for bodies are relative to: a fixed sample of the body model, half of each sex."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reidclip.bodies.phrases import PAIRS
from reidclip.interfaces import BodySession
from reidclip.synth.mesh_plan import shape_rng

POPULATION_SIZE = 1000
POPULATION_SEED = 0
ASSETS = Path(__file__).parent / "assets"
_BLOCK = 50  # bodies measured at a time
_WITNESSES = 4


def draw_shapes(session: BodySession, seed: int, count: int) -> np.ndarray:
    """(count, S) float32: the bodies of a set of mesh renders with this seed, women and men in turn."""
    drawn = [session.draw_shape(shape_rng(seed, number), number % 2 == 1) for number in range(1, count + 1)]
    return np.stack(drawn).astype(np.float32)


def measured(session: BodySession, shapes: np.ndarray) -> dict[str, np.ndarray]:
    """Measurements of bodies (P, S) by name, (P,) float32 each.

    In blocks of a fixed size, on one thread: the last bit depends on neither how many there are nor on the machine's cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        blocks = [session.measure(torch.from_numpy(shapes[at : at + _BLOCK])) for at in range(0, len(shapes), _BLOCK)]
    finally:
        torch.set_num_threads(threads)
    return {name: torch.cat([block[name] for block in blocks]).numpy().astype(np.float32) for name in blocks[0]}


def thresholds(session: BodySession) -> dict[str, np.float32]:
    """The population's median of every measurement that decides a pair of phrases, and of the others.

    The population is `POPULATION_SIZE` bodies of the model, half of each sex, and the same one for every data set: so a body gets the
    same words whatever set it is in, and words of renders can be compared with those of dressed people. They are the bodies of the
    default set of mesh renders, whose own medians these are.
    """
    key = (session.name, session.version)
    if key not in _known:
        _known[key] = recorded(session) or computed_medians(session)
    return dict(_known[key])


_known: dict[tuple[str, str], dict[str, np.float32]] = {}


def computed_medians(session: BodySession) -> dict[str, np.float32]:
    """The medians of `thresholds`, from the population itself: ten seconds."""
    values = measured(session, draw_shapes(session, POPULATION_SEED, POPULATION_SIZE))
    return {name: np.float32(np.median(value.astype(np.float64))) for name, value in values.items()}


def recording(session: BodySession) -> dict[str, Any]:
    """What ``assets/NAME_medians.json`` holds for a bundled model; ``examples/bake_bodies/medians.py`` writes it."""
    witnesses = measured(session, draw_shapes(session, POPULATION_SEED, _WITNESSES))
    return {
        "version": session.version,
        "medians": {name: float(value) for name, value in computed_medians(session).items()},
        "witnesses": {name: [float(v) for v in values] for name, values in witnesses.items()},
    }


def recorded(session: BodySession) -> dict[str, np.float32] | None:
    """Medians kept in the package; None where there are none, or the model or a measurement's definition is another by now."""
    try:
        kept = json.loads((ASSETS / f"{session.name}_medians.json").read_text("utf-8"))
    except OSError:
        return None
    if kept["version"] != session.version or not _same(kept["witnesses"], session):
        return None
    return {name: np.float32(value) for name, value in kept["medians"].items()}


def _same(witnesses: Mapping[str, list[float]], session: BodySession) -> bool:
    """Whether the first bodies of the population measure what they did when the medians were kept."""
    now = measured(session, draw_shapes(session, POPULATION_SEED, _WITNESSES))
    return now.keys() == witnesses.keys() and all(np.allclose(now[name], witnesses[name], rtol=1e-5, atol=0) for name in now)


def choices(measures: dict[str, np.ndarray], medians: dict[str, np.float32]) -> np.ndarray:
    """(P, 16) int64: 0 where a body lies above the median of the pair's measurement, 1 where it lies below or on it."""
    return np.stack([np.where(measures[pair.measure] > medians[pair.measure], 0, 1) for pair in PAIRS], axis=1).astype(np.int64)
