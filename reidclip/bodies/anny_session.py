"""Anny's shapes as a differentiable function from standardised shape parameters to a mesh."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reidclip.bodies.measure import Landmarks, Tape
from reidclip.bodies.measured import measured
from reidclip.bodies.template import Template
from reidclip.synth.body import ASSET, BodyModel, body_model
from reidclip.synth.identity import Identity, sample_identity
from reidclip.synth.pose import POSES, sample_pose

POPULATION = Path(__file__).parent / "assets" / "anny_population.npz"
_POSE_SHARES = (0.6, 0.2, 0.1, 0.1)  # of `POSES`: walking, standing, holding a phone, hands on hips


def _sides(*names: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(f"{name}.L" for name in names), tuple(f"{name}.R" for name in names)


def _pair(name: str) -> tuple[str, str]:
    return f"{name}.L", f"{name}.R"


LANDMARKS = Landmarks(
    hips=_pair("upperleg01"), knees=_pair("lowerleg01"), ankles=_pair("foot"),
    shoulders=_pair("upperarm01"), elbows=_pair("lowerarm01"), wrists=_pair("wrist"), neck="neck01", head="head",
    arms=_sides("upperarm01", "lowerarm01", "wrist"), legs=_sides("upperleg01", "lowerleg01", "foot"),
    chest=(0.54, 0.68), under_bust=0.5,
)  # fmt: skip


class AnnyBody:
    """A `reidclip.interfaces.BodySession`.

    A shape parameter is the coefficient of a principal shape, less its mean over the population and divided by its standard deviation
    there: a network that predicts them starts at the mean body, and a unit means as much in any of them as people differ by.
    """

    name = "anny"

    def __init__(self) -> None:
        self._model = model = body_model()
        self.version = hashlib.sha256(ASSET.read_bytes() + POPULATION.read_bytes()).hexdigest()[:16]
        with np.load(POPULATION) as data:
            self._mean, self._spread = data["mean"].astype(np.float64), data["spread"].astype(np.float64)
        self.shapes = len(self._mean)
        self.joints = tuple(model.joint_index)
        self.faces = model.body.faces.astype(np.int64)
        self._template = standardised(model, self._mean, self._spread)
        self._tape = Tape(self.faces, self._template.arrays["weights"], self.joints, LANDMARKS)

    def vertices(self, shape: Tensor) -> Tensor:
        """(B, 90) -> (B, 6200, 3) in the rest pose, arms at about 45 degrees."""
        return self._template.vertices(shape)

    def joint_positions(self, shape: Tensor) -> Tensor:
        """(B, 90) -> (B, 20, 3) in the rest pose."""
        return self._template.joints(shape)

    def rest_joints(self) -> np.ndarray:
        """(20, 3) joints of the mean body in the rest pose."""
        return self._template.arrays["joints"]

    def posed(self, shape: Tensor, rotations: Tensor) -> Tensor:
        """(B, 90), (B, 20, 3, 3) -> (B, 6200, 3)."""
        return self._template.posed(shape, rotations)

    def measure(self, shape: Tensor) -> dict[str, Tensor]:
        """(B, 90) -> (B,) by name; see `reidclip.bodies.measure`."""
        return measured(self._tape, self.vertices, self.joint_positions, shape)

    def draw_shape(self, rng: np.random.Generator, female: bool) -> np.ndarray:
        """(90,) float32: a person of the renderer's population, with the stature of the sex."""
        return self.shape_of(draw_person(rng, female))

    def shape_of(self, person: Identity) -> np.ndarray:
        """(90,) float32: the body of a rendered person."""
        coefficients = person_coefficients(self._model, person)
        return np.asarray((coefficients - self._mean) / self._spread, np.float32)

    def draw_pose(self, rng: np.random.Generator) -> np.ndarray:
        """(20, 3, 3) float32: a random moment of a random person's walk, or a standing pose."""
        habit = sample_identity(rng).habit
        return sample_pose(self._model, rng, habit, str(rng.choice(POSES, p=_POSE_SHARES))).astype(np.float32)


@lru_cache(maxsize=1)
def opened() -> AnnyBody:
    """The body model of this process, loaded once."""
    return AnnyBody()


def draw_person(rng: np.random.Generator, female: bool) -> Identity:
    """A person of one sex: the first of the population's stream that is of it."""
    while (person := sample_identity(rng)).male is female:
        pass
    return person


def person_coefficients(model: BodyModel, person: Identity) -> np.ndarray:
    """(90,) float64 coefficients of the principal shapes, at the person's stature."""
    return model.coefficients(model.with_stature(person.sliders, person.stature)).astype(np.float64)


def standardised(model: BodyModel, mean: np.ndarray, spread: np.ndarray) -> Template:
    """The skin of the model as a template whose coefficients have mean 0 and standard deviation 1.

    Args:
        model: the renderer's body; eyes and helper meshes are left out.
        mean, spread: (90,) of its coefficients over the population.
    """
    rows = model.body.rows
    directions = model.directions.astype(np.float64).reshape(len(mean), -1, 3)
    points = np.concatenate([model.template, model.template_joints]).astype(np.float64)
    points = points + np.einsum("k,knx->nx", mean, directions)
    directions = directions * spread[:, None, None]
    skin = len(model.template)
    # Anny's own origin is no point of the body: its root wanders by 8 cm from person to person. Here the root joint is the origin.
    points, directions = points - points[skin], directions - directions[:, skin : skin + 1]
    arrays = {
        "vertices": points[:skin][rows],
        "joints": points[skin:],
        "vertex_directions": directions[:, :skin][:, rows],
        "joint_directions": directions[:, skin:],
        "weights": model.skin[rows],
    }
    return Template(tuple(int(p) for p in model.parents), {name: torch.from_numpy(a).float().numpy() for name, a in arrays.items()})
