"""Which bodies a set of mesh renders shows, how, and under which names; decided by its parameters alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from reidclip.synth.camera import View, sample_view
from reidclip.synth.files import MESHES

MESH_GENERATOR_VERSION = 1
"""Raised whenever the same parameters would give other bytes."""
SIDES = ("front", "left", "back", "right")
"""Cameras: which side of the body the camera sees, in quarters of a turn; the number is the ``camid``."""

# Streams of random numbers, beside those of dressed people (1 to 7).
_SHAPE, _VIEW, _RENDER = 8, 9, 10


@dataclass(frozen=True)
class MeshPlan:
    """Parameters of a set of mesh renders; they and the generator's version decide every byte of it.

    Attributes:
        ids: number of bodies, women and men in turn.
        test_ids: how many of them, the last ones, are for testing: so many women as men, or one more.
        poses: pictures of each body, each in a pose of its own.
        seed: seed of everything.
        height, width: pixels.
        body: name of the body model.
        body_version: digest of its data.
    """

    ids: int
    test_ids: int
    poses: int
    seed: int
    height: int
    width: int
    body: str
    body_version: str

    def as_dict(self) -> dict[str, object]:
        """What ``synth.json`` holds."""
        return {"generator": MESH_GENERATOR_VERSION, "kind": MESHES, **asdict(self)}

    @property
    def numbers(self) -> range:
        """Bodies, from 1: the row in the table of bodies, plus 1."""
        return range(1, self.ids + 1)

    def is_female(self, number: int) -> bool:
        """The sex of a body; the first is a woman's."""
        return number % 2 == 1

    def is_test(self, number: int) -> bool:
        """Whether the body is for testing."""
        return number > self.ids - self.test_ids

    def shots(self, number: int) -> list[MeshShot]:
        """The pictures of one body."""
        return _shots(self, number)

    def shape_rng(self, number: int) -> np.random.Generator:
        """The stream that decides a body's shape: the same whatever else the set holds."""
        return shape_rng(self.seed, number)


def shape_rng(seed: int, number: int) -> np.random.Generator:
    """The stream that decides the shape of a body."""
    return np.random.default_rng(np.random.SeedSequence([seed, _SHAPE, number]))


@dataclass(frozen=True)
class MeshShot:
    """One picture of a body.

    Attributes:
        path: relative to the set.
        number, pose: which body, and which of its poses, from 1.
        camera: index into `SIDES`.
        view: the camera's place.
        seed: of the stream of its pose, light and background.
    """

    path: str
    number: int
    pose: int
    camera: int
    view: View
    seed: tuple[int, ...]

    @property
    def rng(self) -> np.random.Generator:
        """The stream of its pose, light and background."""
        return np.random.default_rng(np.random.SeedSequence(self.seed))


@lru_cache(maxsize=4096)
def _shots(plan: MeshPlan, number: int) -> list[MeshShot]:
    shots = []
    body = f"{number:0{max(4, len(str(plan.ids)))}d}"
    for pose in range(1, plan.poses + 1):
        view = sample_view(np.random.default_rng(np.random.SeedSequence([plan.seed, _VIEW, number, pose])))
        camera = side_of(view.azimuth)
        half = "test" if plan.is_test(number) else "train"
        path = f"{MESHES}/{half}/{body}_c{camera + 1}_{pose:0{max(2, len(str(plan.poses)))}d}.jpg"
        shots.append(MeshShot(path, number, pose, camera, view, (plan.seed, _RENDER, number, pose)))
    return shots


def side_of(azimuth: float) -> int:
    """The side that a camera at an azimuth in degrees sees, as an index into `SIDES`; 90 sees the person's left."""
    return int(((azimuth + 45) % 360) // 90)
