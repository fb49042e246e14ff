"""Parsing: SCHP in bfloat16 against the plain float32 network, pictures per second of the command, and going on with many maps.

Plan of the first, fixed before anything was measured by it. SCHP's published weights are not at hand, so stand-ins are measured:

* Three stand-ins, seeds 0, 1 and 2. Trunk and context: random weights, calibrated normalisations, residual branches as weak as training
  leaves them. The last layers of decoder and fusion are trained in float32 on 48 pictures of four rendered people in three
  places: a random trunk does not find bodies of people unlike those.
* Each is measured on 24 other pictures of these people: pixels of the label maps in bfloat16 that are as in those of the network as it was
  loaded, in float32, and pixels that are right. A stand-in counts if it labels at least 75 % of the pixels right.
* That 99.5 % of the pixels keep their label counts as shown if the mean over the three seeds is at least that; each seed is a row.
* The recipe of their training was chosen by right pixels alone, which layers stay in float32 by agreement and time, both on another
  seed and other people. After the measurement the stand-ins stay as they are, whatever came.
* Times are of the processor, all threads together, so that programs running beside count little; the ways take turns, batch by batch,
  and the ratio is the median over the turns.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reidclip.artifacts.store import Store
from reidclip.data.images import UInt8
from reidclip.data.lip import LIP_LABELS
from reidclip.data.open import open_pictures
from reidclip.stages.finished_maps import MapWriter, find_finished
from reidclip.stages.parse import open_parser, parse
from reidclip_schp import PARSER
from reidclip_schp.crop import Crop, labels_at_picture_size
from reidclip_schp.network import SchpNetwork
from reidclip_schp.session import BATCH_SIZE, FullSession, labelling
from reidclip_schp.settings import SchpSettings
from tests.bench.row import Row, seconds
from tests.bench.schp_standins import INPUT, Labelled, Pictures, inputs, rendered, stand_in

SEEDS = (0, 1, 2)
RIGHT = 75.0  # percent of the pixels that a stand-in has to label right to count
FP32_TURNS = 2  # of each stand-in; a target hangs on bf16 alone
MAPS = 34_000
CPU = torch.device("cpu")


def plainly(network: SchpNetwork, pictures: Sequence[UInt8]) -> Pictures:
    """Label maps by the network as it was loaded."""
    with torch.inference_mode():
        scores = network(inputs(pictures)).fusion
    return [labels_at_picture_size(s, Crop.of(p.shape[:2], INPUT)) for s, p in zip(scores, pictures, strict=True)]


def agreement(one: Sequence[UInt8], other: Sequence[UInt8]) -> float:
    """Share of equal pixels, in percent."""
    return 100 * float(np.mean([(a == b).mean() for a, b in zip(one, other, strict=True)]))


def full_network(quick: bool) -> list[Row]:
    """Both precisions of the session against the plain network: a row of each stand-in, then all of them together."""
    found = [measured(seed, quick) for seed in SEEDS[: 1 if quick else None]]
    rows = [
        Row(
            f"pixels of bf16 as of the plain network, seed {seed}",
            each.agreement["bf16"],
            "%",
            note=f"{each.right:.0f}% right; bodies {each.bodies:.2f}%, {each.range}",
        )
        for seed, each in zip(SEEDS, found, strict=False)
    ]
    for ways, target in (("bf16", 99.5), ("fp32", 99.9)):
        rows.append(Row(f"pixels of {ways} as of the plain network, mean", float(np.mean([f.agreement[ways] for f in found])), "%", target))
    rows.append(Row("pixels that the plain networks label right, least", min(each.right for each in found), "%", RIGHT))
    targets: dict[str, float | None] = {"bf16": 2.0, "fp32": None}
    for ways, least in targets.items():
        taken = [(turn["plain"], turn[ways]) for each in found for turn in each.turns if ways in turn]
        turns = [plain / way for plain, way in taken]
        spread = f"turns {min(turns):.2f} to {max(turns):.2f}"
        seconds_each = np.median([way for _, way in taken]) / BATCH_SIZE
        name = f"SCHP 473x473, plain float32 network over {ways}"
        rows.append(Row(name, float(np.median(turns)), "x", least, note=f"{seconds_each:.2f} s a picture; {spread}"))
    return rows


@dataclass(frozen=True)
class Measured:
    """What one stand-in did; in percent, and seconds of the processor for each batch."""

    right: float
    bodies: float  # agreement of bf16 where either map has no background
    agreement: dict[str, float]
    range: str
    turns: list[dict[str, float]]


def measured(seed: int, quick: bool) -> Measured:
    """Make a stand-in and measure it."""
    with tempfile.TemporaryDirectory() as folder:
        seen, held = rendered(Path(folder), seed, 3 if quick else 6)
    return compared(stand_in(seed, seen), held, quick)


def compared(network: SchpNetwork, held: Labelled, quick: bool) -> Measured:
    """Both precisions against the plain network; the ways take turns, batch by batch."""
    networks = {p: labelling(copy.deepcopy(network), p, CPU) for p in ("fp32", "bf16")}
    sessions = {p: FullSession(n, tuple(LIP_LABELS), INPUT, BATCH_SIZE, False, CPU, "", precision=p) for p, n in networks.items()}
    ways: dict[str, Callable[[Pictures], Pictures]] = {"plain": lambda pictures: plainly(network, pictures), **sessions}
    maps: dict[str, Pictures] = {way: [] for way in ways}
    turns: list[dict[str, float]] = []
    for start in range(0, BATCH_SIZE if quick else len(held.pictures), BATCH_SIZE):
        turns.append({})
        for way, run in ways.items():
            if way == "fp32" and len(turns) > FP32_TURNS:
                continue
            began = time.process_time()
            maps[way] += run(held.pictures[start : start + BATCH_SIZE])
            turns[-1][way] = time.process_time() - began
    shares = [agreement([one], [other]) for one, other in zip(maps["bf16"], maps["plain"], strict=True)]
    right = agreement(maps["plain"], held.maps[: len(maps["plain"])])
    agreements = {way: agreement(maps[way], maps["plain"][: len(maps[way])]) for way in sessions}
    on_bodies = [(one == other)[(one > 0) | (other > 0)] for one, other in zip(maps["bf16"], maps["plain"], strict=True)]
    bodies = 100 * float(np.mean(np.concatenate(on_bodies)))
    return Measured(right, bodies, agreements, f"pictures {min(shares):.2f} to {max(shares):.2f}", turns)


def tiny_network(quick: bool) -> list[Row]:
    """The trained small network: agreement, and the whole command with decoding and writing."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pictures = rendered(root / "people", 0, 3)[0].pictures[: 6 if quick else None]
        sessions = {p: PARSER.open(SchpSettings.model_validate({"precision": p}), CPU) for p in ("fp32", "bf16")}
        maps = {name: session(pictures) for name, session in sessions.items()}
        data = open_pictures(root / "people" / "rgb")
        settings = SchpSettings()
        rate = parse(data, open_parser("schp"), Store(root / "store"), settings=settings).manifest.metrics["pictures_per_second"]
    return [
        Row(
            "schp-tiny: pixels of bf16 as of fp32",
            agreement(maps["bf16"], maps["fp32"]),
            "%",
            99.5,
            note=f"{len(pictures)} pictures of rendered people",
        ),
        Row("schp-tiny: pictures read, parsed, written", float(rate), "images/s", note="fp32"),
    ]


def many_maps(quick: bool) -> list[Row]:
    """Writing many label maps, and finding them again after a kill."""
    count = 500 if quick else MAPS
    paths = [f"{number // 100:04d}/{number % 100:03d}.jpg" for number in range(count)]
    labels = np.kron(np.random.default_rng(0).integers(0, 20, (8, 4), np.uint8), np.ones((32, 32), np.uint8))

    def write() -> None:
        with MapWriter(Path(folder), len(LIP_LABELS)) as writer:
            for path in paths:
                writer.put(path, labels)

    with tempfile.TemporaryDirectory() as folder:
        writing = seconds(write)
        found: list[int] = []
        finding = seconds(lambda: found.append(len(find_finished(Path(folder), paths, len(LIP_LABELS)))))
    assert found == [count]
    return [
        Row(f"{count:,} label maps of 256x128 written", count / writing, "maps/s"),
        Row(f"{count:,} finished label maps found again", finding, "s", 10.0, False),
    ]


def main(quick: bool) -> list[Row]:
    """All rows."""
    return [*full_network(quick), *tiny_network(quick), *many_maps(quick)]
