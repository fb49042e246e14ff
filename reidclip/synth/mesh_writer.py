"""Files of a set of mesh renders: pictures, and descriptions in shards; see `reidclip.synth.shards` for how it goes on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from reidclip.synth import shards
from reidclip.synth.mesh import FloatArray
from reidclip.synth.mesh_plan import SIDES, MeshPlan, MeshShot
from reidclip.synth.mesh_render import MeshRenderer
from reidclip.synth.writer import encoded

if TYPE_CHECKING:
    from reidclip.interfaces import BodySession

JPEG_QUALITY = 95


def pending(out: Path, plan: MeshPlan) -> list[int]:
    """Bodies that are not completely written yet."""
    return shards.pending(out, {number: [(shot.path,) for shot in plan.shots(number)] for number in plan.numbers})


def write_body(out: Path, plan: MeshPlan, spec: str, number: int) -> int:
    """Render and write one body; returns the number of pictures.

    Args:
        out: the set.
        plan: its parameters.
        spec: the body model as the user named it, file included; every process opens it once.
        number: which body.
    """
    session, renderer = _opened(spec)
    shots = plan.shots(number)
    streams = [shot.rng for shot in shots]
    shape = session.draw_shape(plan.shape_rng(number), plan.is_female(number))
    vertices = _posed(session, shape, np.stack([session.draw_pose(rng) for rng in streams]))
    shards.make_folders(out, (shot.path for shot in shots))
    for shot, rng, points in zip(shots, streams, vertices, strict=True):
        image = renderer.render(points, shot.view, rng, plan.height, plan.width)
        data = encoded(shot.path, ".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (out / shot.path).write_bytes(data.tobytes())
    shards.write_shard(out, number, [_record(plan, shot) for shot in shots])
    return len(shots)


@lru_cache(maxsize=2)
def _opened(spec: str) -> tuple[BodySession, MeshRenderer]:
    from reidclip.bodies.spec import open_body

    session = open_body(spec)
    return session, MeshRenderer(session.faces)


def _posed(session: BodySession, shape: np.ndarray, rotations: np.ndarray) -> FloatArray:
    """(S,) and (N, J, 3, 3) -> (N, V, 3), on one thread: sums must not depend on how many there are."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            shapes = torch.from_numpy(np.ascontiguousarray(shape, np.float32)).expand(len(rotations), -1)
            return np.asarray(session.posed(shapes, torch.from_numpy(np.ascontiguousarray(rotations, np.float32))).numpy(), np.float32)
    finally:
        torch.set_num_threads(threads)


def _record(plan: MeshPlan, shot: MeshShot) -> dict[str, object]:
    return {
        "path": shot.path,
        "pid": shot.number,
        "camid": shot.camera,
        "camera": SIDES[shot.camera],
        "subset": "test" if plan.is_test(shot.number) else "train",  # not "split": see `reidclip.synth.people`
        "gender": "female" if plan.is_female(shot.number) else "male",
        "pose": shot.pose,
        "view": {
            "azimuth_deg": round(shot.view.azimuth, 1),
            "elevation_deg": round(shot.view.elevation, 1),
            "distance_m": round(shot.view.distance, 2),
        },
    }
