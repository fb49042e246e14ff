"""How body sliders are distributed over the rendered population.

Used twice: at run time to draw an identity, and by ``examples/bake_bodies`` to decide which shape directions are worth
keeping. Slider names are those of the body model the asset was baked from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BODY_CHANGES = (
    "measure-shoulder-dist-incr", "measure-hips-circ-incr", "measure-waist-circ-incr", "measure-bust-circ-incr",
    "measure-neck-circ-incr", "measure-thigh-circ-incr", "measure-calf-circ-incr", "measure-upperarm-circ-incr",
    "measure-upperarm-length-incr", "measure-lowerarm-length-incr", "measure-upperleg-height-incr",
    "measure-lowerleg-height-incr", "measure-napetowaist-dist-incr", "measure-frontchest-dist-incr",
    "torso-vshape-incr", "torso-scale-depth-incr", "torso-scale-horiz-incr", "torso-scale-vert-incr",
    "hip-scale-horiz-incr", "hip-scale-depth-incr", "stomach-tone-incr", "stomach-pregnant-incr",
    "buttocks-volume-incr", "neck-scale-vert-incr", "neck-double-incr", "head-scale-horiz-incr",
    "head-scale-vert-incr", "head-scale-depth-incr", "head-fat-incr", "head-age-incr",
)  # fmt: skip
FACE_CHANGES = (
    "nose-scale-vert-incr", "nose-scale-depth-incr", "nose-scale-horiz-incr", "nose-volume-incr", "nose-hump-incr",
    "nose-width2-incr", "chin-width-incr", "chin-height-incr", "chin-prominent-incr", "chin-bones-incr",
    "mouth-scale-horiz-incr", "mouth-lowerlip-volume-incr", "mouth-upperlip-volume-incr", "mouth-trans-up",
    "forehead-scale-vert-incr", "forehead-temple-incr", "eyebrows-trans-up", "l-cheek-volume-incr",
    "r-cheek-volume-incr", "l-cheek-bones-incr", "r-cheek-bones-incr", "l-eye-scale-incr", "r-eye-scale-incr",
    "l-eye-trans-out", "r-eye-trans-out", "l-ear-scale-incr", "r-ear-scale-incr",
)  # fmt: skip
CHANGES = BODY_CHANGES + FACE_CHANGES


@dataclass(frozen=True)
class Sliders:
    """Parameters of one body.

    Attributes:
        phenotype: sliders in [0, 1]; ``gender`` 0 is male and 1 female, ``age`` 2/3 a young adult and 1 old.
        changes: local shape changes in [-1, 1] by name.
    """

    phenotype: dict[str, float]
    changes: dict[str, float]

    def with_height(self, height: float) -> Sliders:
        """The same body with another ``height`` slider."""
        return Sliders({**self.phenotype, "height": height}, self.changes)


def sample_sliders(rng: np.random.Generator, male: bool, age_group: str, ancestry: np.ndarray) -> Sliders:
    """Draw a body.

    Args:
        rng: source of randomness.
        male: sex of the body.
        age_group: ``young``, ``adult`` or ``old``.
        ancestry: (3,) weights of the model's african, asian and caucasian shapes.
    """
    low, high = {"young": (0.5, 0.6), "adult": (0.62, 0.8), "old": (0.88, 1.0)}[age_group]
    gender = float(np.clip(rng.normal(0.08, 0.07), 0, 0.3)) if male else float(np.clip(rng.normal(0.92, 0.07), 0.7, 1))
    phenotype = {
        "gender": gender,
        "age": float(rng.uniform(low, high)),
        "muscle": float(rng.beta(2, 2)),
        "weight": float(rng.beta(1.7, 2.9)),
        "height": float(np.clip(rng.normal(0.5, 0.17), 0.1, 0.9)),
        "proportions": float(rng.uniform(0.3, 1)),
        "cupsize": float(rng.uniform(0.2, 0.8)),
        "firmness": float(rng.uniform(0.3, 0.8)),
        "african": float(ancestry[0]),
        "asian": float(ancestry[1]),
        "caucasian": float(ancestry[2]),
    }
    return Sliders(phenotype, {name: value for name, value in _sample_changes(rng, male)})


def _sample_changes(rng: np.random.Generator, male: bool) -> list[tuple[str, float]]:
    out: list[tuple[str, float]] = []
    for name in CHANGES:
        if name.startswith("r-"):
            continue
        value = float(np.clip(rng.normal(0, 0.5 if name in FACE_CHANGES else 0.35), -0.95, 0.95))
        if name == "stomach-pregnant-incr":
            value = float(np.clip(rng.normal(0, 0.2), 0, 0.5)) if male else float(np.clip(rng.normal(0, 0.1), 0, 0.2))
        elif name == "neck-double-incr":
            value = 0.5 * max(0.0, value)
        elif name.startswith("head-scale"):
            # Slightly large heads: the model's are small for a camera's view, and heads carry the identity.
            value = float(np.clip(rng.normal(0.4, 0.25), -0.2, 0.95))
        elif name == "measure-shoulder-dist-incr":
            value -= 0.2
        out.append((name, value))
        if name.startswith("l-"):
            out.append(("r-" + name[2:], value))
    return out


def sample_ancestry(rng: np.random.Generator) -> np.ndarray:
    """Mixing weights (3,) of the african, asian and caucasian shapes; mostly one of them."""
    return rng.dirichlet([0.35] * 3)
