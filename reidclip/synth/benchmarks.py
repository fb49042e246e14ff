"""The fixed benchmarks: sets rendered from a pinned seed, known by name, whose content can be checked.

A benchmark is its parameters and a digest of everything that was drawn for its pictures. Whoever renders it on another machine gets
the same people, outfits, poses, cameras and labels; the last bit of a pixel may differ with the processor and library versions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidclip.data.published import count
from reidclip.errors import UserError, nearest
from reidclip.records import PublishedCount
from reidclip.synth.files import ATTRIBUTES

_MEASURED = ("measurements", "view", "box_xywh")  # numbers whose last digit may depend on the machine


@dataclass(frozen=True)
class Benchmark:
    """A rendered set that numbers can be published on.

    Attributes:
        title: one sentence.
        parameters: arguments of `reidclip.stages.synth.plan_synth`.
        generator: version of the renderer that it belongs to.
        drawn: digest of what was drawn, see `drawn_digest`; the same on every machine.
        pixels: digest of the pictures and label maps, see `file_digest`; the same where library versions and processor are alike.
        splits: (split, identities, pictures) of the data set as its layout reads it.
    """

    title: str
    parameters: Mapping[str, Any]
    generator: int
    drawn: str
    pixels: str
    splits: tuple[tuple[str, int, int], ...]

    @property
    def counts(self) -> tuple[PublishedCount, ...]:
        """Exact numbers for `reidclip datasets verify`."""
        return tuple(
            one
            for split, identities, pictures in self.splits
            for one in (count("identities", identities, "C", split), count("images", pictures, "C", split))
        )


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        UserError: there is none (with the nearest).
    """
    if name not in BENCHMARKS:
        raise UserError(f"There is no rendered benchmark '{name}'.", nearest(name, BENCHMARKS))
    return BENCHMARKS[name]


def drawn_digest(root: Path) -> str:
    """SHA-256 over what was drawn for every picture, in order: path, person, outfit, camera, pose, place, captions; nothing measured."""
    digest = hashlib.sha256()
    with (root / ATTRIBUTES).open(encoding="utf-8") as lines:
        for line in lines:
            record = {k: v for k, v in json.loads(line).items() if k not in _MEASURED}
            digest.update(json.dumps(record, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def file_digest(root: Path) -> str:
    """SHA-256 over the paths and bytes of all pictures and label maps that ``attributes.jsonl`` names, sorted by path.

    Raises:
        OSError: one of them is not there.
    """
    records = [json.loads(line) for line in (root / ATTRIBUTES).read_text("utf-8").splitlines()]
    return digest_of(root, (str(record[key]) for record in records for key in ("path", "parsing")))


def digest_of(root: Path, paths: Iterable[str]) -> str:
    """SHA-256 over paths relative to ``root`` and the bytes of those files, sorted by path."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.encode() + b"\0" + hashlib.sha256((root / path).read_bytes()).digest())
    return digest.hexdigest()


def _domain(number: int, style: str, title: str, drawn: str, pixels: str, pictures: tuple[int, int, int]) -> Benchmark:
    """One of the four domains: Market-1501's tree, people of its own."""
    parameters = {
        "layout": "market1501", "ids": 160, "test_ids": 80, "images_per_camera": 2, "cameras": 4, "distractors": 60, "junk": 0,
        "style": style, "seed": 10 + number,
    }  # fmt: skip
    train, query, gallery = pictures
    splits = (("train", 80, train), ("query", 80, query), ("gallery", 81, gallery))  # the gallery's distractors share the identity 0
    return Benchmark(f"Domain {number}. {title}", parameters, 4, drawn, pixels, splits)


BENCHMARKS: dict[str, Benchmark] = {
    "synthcc": Benchmark(
        "Cloth-changing: cameras A, B (same clothes), C (other clothes), and C in the clothes of A as a control; PRCC's tree.",
        {"layout": "prcc", "ids": 400, "test_ids": 100, "images_per_camera": 4, "control": True, "style": "even", "seed": 1},
        4,
        "51db696aa20e03d116f3399a324ecbfc51d6afc8be550d54755e4d16e5ff8804",
        "2d844f171fd1986473a67722f1c8ed6bb232883acaf689e60c908fa1bdd58311",
        (("train", 300, 3600), ("test-A", 100, 400), ("test-B", 100, 400), ("test-C", 100, 400), ("test-C-same", 100, 400)),
    ),
    "synthcc-ltcc": Benchmark(
        "Cloth-changing: twelve cameras, two to eight outfits per person and people who never change; LTCC's tree.",
        {"layout": "ltcc", "ids": 160, "test_ids": 80, "outfits": 8, "images_per_camera": 1, "style": "even", "seed": 2},
        4,
        "7b1cde344fcfc535b5098437abbc64e976c9bb21536c8b1f244a7f651fca6224",
        "cf5b99813de214dd9a10ac47a07dc3065ccd5f79e56fd1f88e0137d6d41b3443",
        (("train", 80, 936), ("query", 80, 892), ("gallery", 80, 892)),
    ),
    "synthcc-dom-1": _domain(
        1,
        "summer-square",
        "Summer, in full sun, sharp pictures.",
        "9c69fb1f81c1779e916b27d90723b52f7644de84ee26372ac64ceb5d4f9c690b",
        "c7c2b4351a45338701fd2c23394ff8853effa5ac8095ddfd8f6789dd78908726",
        (554, 289, 638),
    ),
    "synthcc-dom-2": _domain(
        2,
        "winter-street",
        "Winter, overcast, coats.",
        "91f882cbb3d3f09c2747b094bdc3a569fa6fa44563b813ca043300ee1ab92439",
        "0e4d8b421240692a220fef6f24fba32537f25d50119f3299b4f4b6ab2c6a4104",
        (556, 274, 608),
    ),
    "synthcc-dom-3": _domain(
        3,
        "indoor",
        "Indoors, cameras below the ceiling.",
        "6447de783e760779e84d15651c9da8ff4d23f43f048dcd52cbb8aab4e951409c",
        "5fb877e394b9a54d7c6b84e86a883db9eeb202ce7ac889237b0fa2c36439cf8b",
        (566, 281, 622),
    ),
    "synthcc-dom-4": _domain(
        4,
        "evening-park",
        "Evening, few pixels, noise.",
        "0e691822e47473ee0e20f829984d1d3a4db6f2e924ff27c6d60dfdd812c1d059",
        "1bf4df003038a81a2e37c159bf508f7d3cf61eed164825602159936ea38093a7",
        (554, 276, 612),
    ),
}
