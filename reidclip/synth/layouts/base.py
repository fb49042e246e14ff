"""What a layout must say: which options it has, which pictures there are of a person, where they go and under which camera."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from reidclip.synth.compose import Response, sample_response
from reidclip.synth.shading import USUAL_DAYLIGHT, Daylight
from reidclip.synth.styles import STYLES, places_of, response_of

NO_LIMIT = 10**6  # what no one will render
_ROOMS = 3  # places of a camera


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
        cameras: number of cameras; None where the layout fixes it.
        distractors, junk: pictures in the gallery of nobody, and of badly cut boxes; None where the layout has none.
        style: name of a style in `reidclip.synth.styles`; None for the usual mixture.
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
    cameras: int | None = None
    distractors: int | None = None
    junk: int | None = None
    style: str | None = None

    def as_dict(self) -> dict[str, object]:
        """The parameters as plain values; those that the layout does not have are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def is_test(self, pid: int) -> bool:
        """Whether the person is for testing."""
        return pid > self.ids - self.test_ids


@dataclass(frozen=True)
class Span:
    """Values that an option may take, both ends included, and the one that it takes when nothing is said."""

    least: int
    most: int
    default: int


@dataclass(frozen=True)
class Options:
    """What a layout makes of the parameters of a `Plan`.

    Attributes:
        ids: most people that its names have room for.
        images: most pictures per person and camera that its names have room for.
        outfits: outfits per person.
        cameras: number of cameras; None when it is fixed.
        test_part: by default one person in so many is for testing; 0 when the layout has no testing half.
        others: which of ``control``, ``val_images``, ``distractors``, ``junk`` and ``style`` it has.
    """

    ids: int
    images: int
    outfits: Span
    cameras: Span | None = None
    test_part: int = 2
    others: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Camera:
    """A camera of a data set.

    Attributes:
        name: as in the tree, ``A``.
        number: camera index.
        places: numbers of the sceneries it looks at.
        response: its colours; None draws new ones for every picture.
        cut_feet, occluded: shares of pictures with the feet cut off or something in front.
        elevation: range of its height above the person, degrees.
        daylight: what the light of its pictures is drawn from.
    """

    name: str
    number: int
    places: tuple[int, ...]
    response: Response | None
    cut_feet: float = 0.02
    occluded: float = 0.04
    elevation: tuple[float, float] = (0.0, 20.0)
    daylight: Daylight = USUAL_DAYLIGHT


@dataclass(frozen=True)
class Shot:
    """One picture to take.

    Attributes:
        path: relative to the data set, with ``/``.
        pid: person, from 1.
        camera: camera.
        outfit: which of the person's outfits.
        number: counts the pictures of this person under this camera; part of the picture's seed.
        split: train, val, test; query, gallery where the tree tells them apart.
        named: the identity that the tree gives the picture where that is not the person: 0 nobody, -1 a useless box.
        framing: what the box holds, see `reidclip.synth.framing`.
    """

    path: str
    pid: int
    camera: Camera
    outfit: int
    number: int
    split: str
    named: int | None = None
    framing: str = "whole"

    @property
    def parsing(self) -> str:
        """Where the label map goes."""
        return "parsing/" + self.path.rsplit(".", 1)[0] + ".png"


class SynthLayout(ABC):
    """A tree of files."""

    name: ClassVar[str]
    title: ClassVar[str]
    options: ClassVar[Options]

    @abstractmethod
    def shots(self, plan: Plan, pid: int) -> list[Shot]:
        """The pictures of one person, in the order in which they are described."""

    def people(self, plan: Plan) -> int:
        """How many people are rendered; those after ``plan.ids`` are strangers whom the tree calls nobody."""
        return plan.ids

    def lists(self, plan: Plan) -> dict[str, str]:
        """Text files of the whole set: relative path -> content."""
        return {}


@lru_cache(maxsize=64)
def fixed_camera(plan: Plan, name: str, number: int) -> Camera:
    """A camera with its own colours that looks at a few places of its own."""
    rng = np.random.default_rng(np.random.SeedSequence([plan.seed, 4, number]))
    if plan.style is None:
        places = tuple(int(p) for p in rng.integers(1 << 20, 1 << 30, _ROOMS))
        return Camera(name, number, places, sample_response(rng))
    style = STYLES[plan.style]
    places = places_of(style, rng)
    return Camera(name, number, places, response_of(style, rng), elevation=style.elevation, daylight=style.daylight)


def appearances_rng(plan: Plan, pid: int) -> np.random.Generator:
    """The stream that decides where and when a person is seen; it is no part of who they are."""
    return np.random.default_rng(np.random.SeedSequence([plan.seed, 6, pid]))


def pid_name(plan: Plan, pid: int) -> str:
    """Folder name of a person: three digits, four where there are more than 999 people."""
    return f"{pid:0{max(3, len(str(plan.ids)))}d}"
