"""Who a person is: everything that stays when the clothes change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reidclip.synth.colours import HAIR, IRIS, SKIN_WORDS
from reidclip.synth.population import Sliders, sample_ancestry, sample_sliders

HAIR_STYLES = ("bald", "buzz cut", "short", "side part", "quiff", "curly", "afro", "bob", "shoulder-length", "long", "ponytail", "bun")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
_MALE_HAIR = (0.11, 0.13, 0.17, 0.15, 0.13, 0.09, 0.06, 0.02, 0.05, 0.04, 0.02, 0.03)
_FEMALE_HAIR = (0.01, 0.02, 0.08, 0.05, 0.02, 0.09, 0.06, 0.16, 0.15, 0.16, 0.11, 0.09)
_HAIR_COLOURS = (0.21, 0.19, 0.17, 0.1, 0.13, 0.09, 0.02, 0.01, 0.04, 0.04)
_OLD_HAIR_COLOURS = (0.06, 0.07, 0.05, 0.02, 0.04, 0.02, 0.42, 0.3, 0.01, 0.01)


@dataclass(frozen=True)
class Habit:
    """How a person moves and stands; angles in degrees.

    Attributes:
        stride, swing: factors on the leg and arm swing.
        lean, head: forward tilt of trunk and head.
        stance, toes, elbow, abduction: spread of the legs, turn-out of the feet, bend of the elbow, arm away from body.
    """

    stride: float
    swing: float
    lean: float
    head: float
    stance: float
    toes: float
    elbow: float
    abduction: float


@dataclass(frozen=True)
class Identity:
    """Attributes of a person that no outfit changes.

    Attributes:
        stature: bare height in metres.
        tone: skin tone in [0, 7], light to dark.
        fringe: how far hair reaches down the forehead, metres.
        volume: factor on the thickness of the hair.
        brow: half-thickness of the eyebrows, metres.
        brow_tilt: slope of the eyebrows.
        lip: redness of the lips in [0, 1].
        noise: seed of procedural detail.
    """

    male: bool
    age: str
    stature: float
    sliders: Sliders
    tone: float
    hair_style: str
    hair_colour: str
    hair_shade: float
    fringe: float
    volume: float
    beard: str
    glasses: str
    brow: float
    brow_tilt: float
    iris: str
    lip: float
    habit: Habit
    noise: int

    @property
    def gender(self) -> str:
        """``male`` or ``female``."""
        return "male" if self.male else "female"

    @property
    def skin(self) -> str:
        """A word for the skin tone."""
        return SKIN_WORDS[min(int(self.tone + 0.5), len(SKIN_WORDS) - 1)]


def identity_rng(seed: int, pid: int) -> np.random.Generator:
    """The stream of an identity; outfits and pictures have streams of their own."""
    return np.random.default_rng(np.random.SeedSequence([seed, 1, pid]))


def sample_identity(rng: np.random.Generator) -> Identity:
    """Draw a person."""
    male = bool(rng.random() < 0.5)
    age = str(rng.choice(["young", "adult", "old"], p=[0.27, 0.5, 0.23]))
    ancestry = sample_ancestry(rng)
    sliders = sample_sliders(rng, male, age, ancestry)
    mean, spread, low = (1.765, 0.08, 1.55) if male else (1.635, 0.072, 1.45)
    stature = float(np.clip(rng.normal(mean, spread), low, 2.02))
    # Tones are spread more evenly than ancestry alone would do: they are one of the few cues at a distance.
    tone = float(np.clip(ancestry @ np.array([5.8, 2.0, 0.8]) + rng.normal(0, 0.8), 0, 6.99))
    style = str(rng.choice(HAIR_STYLES, p=_MALE_HAIR if male else _FEMALE_HAIR))
    colours = _OLD_HAIR_COLOURS if age == "old" else _HAIR_COLOURS
    colour = str(rng.choice(list(HAIR), p=colours))
    shade = float(rng.uniform(0.88, 1.14))
    fringe = float(rng.choice([0.0, 0.0, 0.012, 0.028])) if style not in ("quiff", "bald", "buzz cut") else 0.0
    if male and age == "old" and rng.random() < 0.5:
        fringe = -0.022
    beard = str(rng.choice(BEARDS, p=[0.42, 0.17, 0.11, 0.11, 0.19])) if male else "none"
    glasses = str(rng.choice(["none", "round", "square", "wide"], p=[0.76, 0.08, 0.1, 0.06]))
    return Identity(
        male=male, age=age, stature=stature, sliders=sliders, tone=tone, hair_style=style, hair_colour=colour, hair_shade=shade,
        fringe=fringe, volume=float(rng.uniform(0.75, 1.3)), beard=beard, glasses=glasses,
        brow=float(rng.uniform(0.0042, 0.008) if male else rng.uniform(0.003, 0.0058)), brow_tilt=float(rng.normal(0, 0.12)),
        iris=str(rng.choice(list(IRIS), p=[0.45, 0.25, 0.18, 0.12])),
        lip=float(rng.beta(1.5, 3) if male else rng.beta(1.6, 1.6)), habit=_sample_habit(rng), noise=int(rng.integers(1 << 30)),
    )  # fmt: skip


def _sample_habit(rng: np.random.Generator) -> Habit:
    return Habit(
        stride=float(rng.uniform(0.65, 1.2)),
        swing=float(rng.uniform(0.4, 1.3)),
        lean=float(rng.normal(2, 3)),
        head=float(rng.normal(0, 4)),
        stance=float(rng.normal(0, 1.5)),
        toes=float(rng.normal(3, 5)),
        elbow=float(rng.uniform(0, 25)),
        abduction=float(rng.normal(0, 3)),
    )
