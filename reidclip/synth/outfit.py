"""What a person wears: garments drawn independently of identity (gender shifts a few shares only).

Heights are z of the template body in metres (sole -0.83, knee -0.31, hip 0.13, waist 0.30, shoulder 0.63, neck 0.73);
sleeve lengths are metres along the arm (elbow 0.27, wrist 0.52).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from reidclip.synth import labels
from reidclip.synth.colours import CLOTH, NEUTRAL, rgb
from reidclip.synth.mesh import FloatArray


@dataclass(frozen=True)
class Fabric:
    """Colour and pattern of a garment.

    Attributes:
        pattern: plain, striped, vertically striped, checked, dotted, printed, colour-block, camouflage or denim.
        colour, second: colour names.
        rgb, second_rgb: (3,) the shades used.
        frequency: repeats per metre.
        duty: share of the second colour.
        rough: contrast of folds.
        seed: seed of the pattern.
    """

    pattern: str
    colour: str
    second: str
    rgb: FloatArray = field(repr=False)
    second_rgb: FloatArray = field(repr=False)
    frequency: float
    duty: float
    rough: float
    seed: int


@dataclass(frozen=True)
class Top:
    """A garment of the upper body; ``opening`` is the half-width of an open front, 0 when closed."""

    name: str
    label: int
    fabric: Fabric
    sleeve: float
    hem: float
    offset: float
    neck: float
    opening: float = 0.0
    collar: bool = False


@dataclass(frozen=True)
class Trousers:
    """Trousers or shorts ending at height ``end``."""

    name: str
    label: int
    fabric: Fabric
    end: float
    offset: float
    flare: float


@dataclass(frozen=True)
class Skirt:
    """A skirt, the lower part of a dress or of a long coat."""

    name: str
    label: int
    fabric: Fabric
    end: float
    offset: float
    flare: float
    opening: float = 0.0


@dataclass(frozen=True)
class Wearable:
    """Hat, scarf, gloves, sunglasses, socks, shoes or bag of a named kind."""

    kind: str
    fabric: Fabric


@dataclass(frozen=True)
class Outfit:
    """Everything worn or carried."""

    top: Top
    bottom: Trousers | Skirt
    shoes: Wearable
    shoe_height: float
    jacket: Top | None = None
    coat_skirt: Skirt | None = None
    socks: Wearable | None = None
    hat: Wearable | None = None
    scarf: Wearable | None = None
    gloves: Wearable | None = None
    sunglasses: Wearable | None = None
    bag: Wearable | None = None

    @property
    def is_dress(self) -> bool:
        """Whether the top continues in a skirt of the same cloth."""
        return self.top.label == labels.DRESS

    @property
    def is_jumpsuit(self) -> bool:
        """Whether the top continues in trousers of the same cloth."""
        return self.top.label == labels.JUMPSUIT


def outfit_rng(seed: int, pid: int, outfit: int) -> np.random.Generator:
    """The stream of one outfit of one identity."""
    return np.random.default_rng(np.random.SeedSequence([seed, 2, pid, outfit]))


_PATTERNS = ("plain", "striped", "vertically striped", "checked", "dotted", "printed", "colour-block", "camouflage")
_PLAIN_SHOES = ("black", "dark grey", "grey", "white", "brown")
_TOP_SHARES = (0.5, 0.11, 0.05, 0.09, 0.05, 0.12, 0.05, 0.03)


def sample_fabric(rng: np.random.Generator, shares: tuple[float, ...] = (1.0,), neutral: float = 0.3) -> Fabric:
    """Draw a fabric; ``shares`` are the probabilities of the first patterns, ``neutral`` that of muted colours."""
    first = str(rng.choice(NEUTRAL)) if rng.random() < neutral else str(rng.choice(list(CLOTH)))
    others = [n for n in CLOTH if np.abs(rgb(CLOTH[n]) - rgb(CLOTH[first])).sum() > 0.45]
    second = str(rng.choice(others))
    pattern = str(rng.choice(_PATTERNS[: len(shares)], p=shares))
    shade, other = rng.uniform(0.85, 1.12, 2)
    return Fabric(
        pattern, first, second,
        np.clip(rgb(CLOTH[first]) * np.float32(shade), 0, 1), np.clip(rgb(CLOTH[second]) * np.float32(other), 0, 1),
        float(rng.uniform(11, 30)), float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.05, 0.14)), int(rng.integers(1 << 30)),
    )  # fmt: skip


def sample_outfit(rng: np.random.Generator, male: bool) -> Outfit:
    """Draw an outfit."""
    kind = rng.random()
    dress, jumpsuit = (0.0, 0.05) if male else (0.14, 0.20)
    top: Top
    bottom: Trousers | Skirt
    if kind < dress:
        top, bottom = _sample_dress(rng)
    elif kind < jumpsuit:
        top, bottom = _sample_jumpsuit(rng)
    else:
        top, bottom = _sample_top(rng), _sample_bottom(rng, male)
    jacket, coat_skirt = _sample_jacket(rng) if rng.random() < 0.33 else (None, None)
    fabric = sample_fabric
    plain = (1.0,)
    return Outfit(
        top=top,
        bottom=bottom,
        shoes=Wearable(*_sample_shoes(rng)),
        shoe_height=float(rng.choice([-0.765, -0.75, -0.68, -0.55], p=[0.4, 0.35, 0.15, 0.1])),
        jacket=jacket,
        coat_skirt=coat_skirt,
        socks=Wearable("socks", fabric(rng, plain)) if rng.random() < 0.45 else None,
        hat=Wearable(str(rng.choice(["cap", "cap", "beanie", "sun hat"])), fabric(rng, plain)) if rng.random() < 0.12 else None,
        scarf=Wearable("scarf", fabric(rng, (0.6, 0.2, 0.0, 0.2), 0.2)) if rng.random() < 0.08 else None,
        gloves=Wearable("gloves", fabric(rng, plain)) if rng.random() < 0.06 else None,
        sunglasses=Wearable("sunglasses", fabric(rng, plain)) if rng.random() < 0.05 else None,
        bag=Wearable(str(rng.choice(["backpack", "backpack", "shoulder bag", "handbag", "tote bag"])), fabric(rng, plain, 0.5))
        if rng.random() < 0.33
        else None,
    )


def sample_alike(rng: np.random.Generator) -> Outfit:
    """Draw an outfit of one cut: t-shirt or polo shirt, long trousers, plain low shoes, and nothing else.

    Only cloth tells it from others of the kind, so that hidden clothes leave no outline to know them by. It is drawn without knowing
    anything of who wears it.
    """
    top = _sample_top(rng)
    while not 0.1 < top.sleeve < 0.3:
        top = _sample_top(rng)
    bottom = _sample_bottom(rng, male=True)
    while not isinstance(bottom, Trousers) or bottom.name == "shorts":
        bottom = _sample_bottom(rng, male=True)
    kind, fabric = _sample_shoes(rng)
    while fabric.colour not in _PLAIN_SHOES:
        kind, fabric = _sample_shoes(rng)
    socks = Wearable("socks", sample_fabric(rng)) if rng.random() < 0.45 else None
    return Outfit(top, bottom, Wearable(kind, fabric), float(rng.choice([-0.765, -0.75])), socks=socks)


def _sample_shoes(rng: np.random.Generator) -> tuple[str, Fabric]:
    return str(rng.choice(["shoes", "sneakers"])), sample_fabric(rng, (1.0,), 0.65)


def _sample_top(rng: np.random.Generator) -> Top:
    name = str(rng.choice(["t-shirt", "polo shirt", "tank top", "shirt", "sweater", "hoodie"], p=[0.4, 0.1, 0.08, 0.16, 0.16, 0.1]))
    shares = _TOP_SHARES if name != "shirt" else (0.4, 0.05, 0.2, 0.3, 0.05, 0.0, 0.0, 0.0)
    fabric = sample_fabric(rng, shares, 0.25)
    sleeve = {"t-shirt": rng.uniform(0.12, 0.24), "polo shirt": rng.uniform(0.13, 0.2), "tank top": rng.uniform(0.01, 0.035)}.get(
        name, rng.uniform(0.49, 0.53)
    )
    thick = {"sweater": 0.02, "hoodie": 0.024}.get(name, float(rng.uniform(0.009, 0.017)))
    return Top(
        name, labels.UPPER, fabric, float(sleeve), float(rng.uniform(0.06, 0.16)), thick,
        float(rng.uniform(0.675, 0.715)) if name != "tank top" else 0.655, collar=name in ("polo shirt", "shirt", "hoodie"),
    )  # fmt: skip


def _sample_bottom(rng: np.random.Generator, male: bool) -> Trousers | Skirt:
    shares = (0.72, 0.04, 0.05, 0.08, 0.03, 0.0, 0.03, 0.05)
    fabric = sample_fabric(rng, shares, 0.55)
    kind = rng.random()
    if not male and kind < 0.25:
        end = float(rng.uniform(-0.62, -0.08))
        return Skirt("skirt", labels.SKIRT, fabric, end, 0.004, float(rng.uniform(0.0, 0.16)))
    if kind < 0.47:
        return Trousers(
            "shorts", labels.PANTS, fabric, float(rng.uniform(-0.34, -0.1)), float(rng.uniform(0.012, 0.02)), float(rng.uniform(0.03, 0.09))
        )
    offset, flare = float(rng.uniform(0.004, 0.014)), float(rng.choice([0, 0.02, 0.045]))
    if rng.random() < 0.45:
        shade = str(rng.choice(["navy", "blue", "light blue", "black", "grey"], p=[0.3, 0.3, 0.15, 0.15, 0.1]))
        denim = Fabric("denim", shade, "white", rgb(CLOTH[shade]) * np.float32(0.9), rgb("e8e8e8"), 20.0, 0.5, 0.1, fabric.seed)
        return Trousers("jeans", labels.PANTS, denim, float(rng.uniform(-0.79, -0.7)), offset, flare)
    return Trousers(str(rng.choice(["trousers", "pants"])), labels.PANTS, fabric, float(rng.uniform(-0.79, -0.66)), offset, flare)


def _sample_dress(rng: np.random.Generator) -> tuple[Top, Skirt]:
    fabric = sample_fabric(rng, (0.45, 0.12, 0.06, 0.1, 0.12, 0.1, 0.05), 0.15)
    sleeve = float(rng.choice([0.02, 0.14, 0.5]))
    top = Top("dress", labels.DRESS, fabric, sleeve, 0.14, 0.009, float(rng.uniform(0.63, 0.7)))
    return top, Skirt("dress", labels.DRESS, fabric, float(rng.uniform(-0.58, -0.1)), 0.007, float(rng.uniform(0.0, 0.15)))


def _sample_jumpsuit(rng: np.random.Generator) -> tuple[Top, Trousers]:
    fabric = sample_fabric(rng, (0.8, 0.05, 0.05, 0.05, 0.05), 0.35)
    top = Top("jumpsuit", labels.JUMPSUIT, fabric, float(rng.choice([0.0, 0.15, 0.5])), 0.16, 0.012, float(rng.uniform(0.66, 0.7)))
    end = float(rng.choice([-0.76, -0.72, -0.2]))
    return top, Trousers("jumpsuit", labels.JUMPSUIT, fabric, end, 0.012, float(rng.uniform(0, 0.04)))


def _sample_jacket(rng: np.random.Generator) -> tuple[Top, Skirt | None]:
    long = rng.random() < 0.35
    fabric = sample_fabric(rng, (0.85, 0.0, 0.0, 0.1, 0.0, 0.0, 0.05), 0.5)
    opening = float(rng.choice([0.0, 0.04, 0.07, 0.1]))
    offset = float(rng.uniform(0.026, 0.036))
    hem = 0.13 if long else float(rng.uniform(0.05, 0.16))
    name = "coat" if long else str(rng.choice(["jacket", "jacket", "cardigan", "blazer"]))
    top = Top(name, labels.COAT, fabric, float(rng.uniform(0.5, 0.53)), hem, offset, float(rng.uniform(0.69, 0.73)), opening, True)
    if not long:
        return top, None
    return top, Skirt("coat", labels.COAT, fabric, float(rng.uniform(-0.5, -0.1)), offset + 0.004, float(rng.uniform(0.02, 0.1)), opening)
