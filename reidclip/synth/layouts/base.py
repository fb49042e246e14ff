"""What a layout must say: which pictures there are of a person, where they go and under which camera."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from reidclip.synth.compose import Response, sample_response


@dataclass(frozen=True)
class Plan:
    """Parameters of a rendered data set; they and the generator's version decide every byte of it.

    Attributes:
        layout: name of the tree.
        ids: number of people.
        test_ids: how many of them, the last ones, are for testing.
        outfits: outfits per person; layouts say what they do with them.
        images_per_camera: pictures per person, camera and split.
        val_images: pictures per training person and camera that are held out.
        seed: seed of everything.
        height, width: pixels.
        control: whether the same-clothes control is added.
    """

    layout: str
    ids: int
    test_ids: int
    outfits: int
    images_per_camera: int
    val_images: int
    seed: int
    height: int
    width: int
    control: bool

    def as_dict(self) -> dict[str, object]:
        """The parameters as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Camera:
    """A camera of a data set.

    Attributes:
        name: as in the tree, ``A``.
        number: camera index.
        places: numbers of the sceneries it looks at.
        response: its colours; None draws new ones for every picture.
        cut_feet, occluded: shares of pictures with the feet cut off or something in front.
    """

    name: str
    number: int
    places: tuple[int, ...]
    response: Response | None
    cut_feet: float = 0.02
    occluded: float = 0.04


@dataclass(frozen=True)
class Shot:
    """One picture to take.

    Attributes:
        path: relative to the data set, with ``/``.
        pid: person, from 1.
        camera: camera.
        outfit: which of the person's outfits.
        number: counts the pictures of this person under this camera; part of the picture's seed.
        split: train, val, test.
    """

    path: str
    pid: int
    camera: Camera
    outfit: int
    number: int
    split: str

    @property
    def parsing(self) -> str:
        """Where the label map goes."""
        return "parsing/" + self.path.rsplit(".", 1)[0] + ".png"


class SynthLayout(Protocol):
    """A tree of files."""

    name: str
    title: str

    def shots(self, plan: Plan, pid: int) -> list[Shot]:
        """The pictures of one person, in the order in which they are described."""
        ...


def fixed_camera(plan: Plan, name: str, number: int, rooms: int = 3) -> Camera:
    """A camera with its own colours that looks at a few places of its own."""
    rng = np.random.default_rng(np.random.SeedSequence([plan.seed, 4, number]))
    places = tuple(int(p) for p in rng.integers(1 << 20, 1 << 30, rooms))
    return Camera(name, number, places, sample_response(rng))


def pid_name(plan: Plan, pid: int) -> str:
    """Folder name of a person: three digits, four where there are more than 999 people."""
    return f"{pid:0{max(3, len(str(plan.ids)))}d}"
