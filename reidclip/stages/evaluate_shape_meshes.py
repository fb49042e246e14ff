"""Predicted bodies to look at: mesh files of them beside the true ones, and a sheet of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reidclip.bodies.mesh_files import write_mesh
from reidclip.errors import UserError
from reidclip.interfaces import BodySession
from reidclip.stages.evaluate_shape_errors import vertices
from reidclip.synth.camera import View
from reidclip.synth.mesh_render import MeshRenderer

MeshFormat = Literal["ply", "obj"]
SHEET = "bodies.png"
_HEIGHT, _WIDTH, _TEXT, _GAP = 220, 330, 13, 6
_APART = 1.05  # metres between bodies that stand side by side
_TURNS = (0.0, 90.0)  # degrees: seen from the front, and from the left


def check_folder(folder: Path) -> None:
    """That meshes can be written there; before the work begins.

    Raises:
        UserError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".reidclip"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"No meshes can be written to {folder}: {error.strerror}.", "Name another folder: --export-mesh DIR.") from error


def export_meshes(
    folder: Path, kind: MeshFormat, session: BodySession, names: Sequence[str], predicted: np.ndarray, true: np.ndarray
) -> list[Path]:
    """Write canonical meshes of people, predicted and true, in metres: NAME-predicted.ply and NAME-true.ply.

    Args:
        names: P, of the people.
        predicted, true: (P, S) shapes.
    """
    files = []
    for name, *shapes in zip(names, predicted, true, strict=True):
        for what, points in zip(("predicted", "true"), vertices(session, np.stack(shapes)), strict=True):
            files.append(folder / f"{name}-{what}.{kind}")
            write_mesh(files[-1], points, session.faces)
    return files


def bodies_sheet(session: BodySession, names: Sequence[str], predicted: np.ndarray, true: np.ndarray, mean: np.ndarray) -> Image.Image:
    """True body, predicted body and mean body of each person, side by side on one floor and in one scale, from the front and the left.

    Args:
        names: P, said above each.
        predicted, true: (P, S) shapes.
        mean: (S,).
    """
    renderer = MeshRenderer(np.concatenate([session.faces + k * (int(session.faces.max()) + 1) for k in range(3)]))
    cell = _HEIGHT + _TEXT + 2 * _GAP
    sheet = Image.new("RGB", (len(_TURNS) * (_WIDTH + _GAP) + _GAP, max(1, len(names)) * cell + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for i, name in enumerate(names):
        bodies = vertices(session, np.stack([true[i], predicted[i], mean]))
        draw.text((_GAP, i * cell + _GAP), f"{name}: true, predicted, mean body", fill=(20, 20, 20), font=font)
        for k, turn in enumerate(_TURNS):
            picture = _side_by_side(renderer, bodies, turn)
            sheet.paste(Image.fromarray(picture), (_GAP + k * (_WIDTH + _GAP), i * cell + 2 * _GAP + _TEXT))
    return sheet


def _side_by_side(renderer: MeshRenderer, bodies: np.ndarray, turn: float) -> np.ndarray:
    """Bodies (3, V, 3) from the left of the picture to the right, each turned about its own upright axis."""
    cosine, sine = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    x, y, z = np.moveaxis(bodies, 2, 0)
    turned = np.stack([cosine * x + sine * y, -sine * x + cosine * y, z - z.min(axis=1, keepdims=True)], axis=2)
    turned[:, :, 0] += _APART * np.arange(len(bodies))[:, None]
    view = View(0.0, 0.0, 12.0, 0.03, 0.03, _WIDTH / _HEIGHT, 0.0)
    scene = np.ascontiguousarray(turned.reshape(-1, 3), np.float32)
    return renderer.render(scene, view, np.random.default_rng(5), _HEIGHT, _WIDTH)
