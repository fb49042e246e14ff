"""Render bare bodies of known shape: the library twin of ``reidclip synth --meshes`` (CLIP3DReID, Liu et al., CVPR 2024, section 3.4).

summary = synth_meshes(Path("data/meshes"))
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from reidclip.bodies.body_table import table_of, write_bodies
from reidclip.bodies.population import draw_shapes
from reidclip.bodies.spec import DEFAULT, open_body
from reidclip.errors import UserError
from reidclip.interfaces import BodySession
from reidclip.stages.render_pool import render_all
from reidclip.stages.synth import Progress, SynthSummary, check_size
from reidclip.synth import mesh_writer, shards
from reidclip.synth.files import MESHES
from reidclip.synth.mesh_plan import MeshPlan

DEFAULT_IDS = 1000  # 500 women and 500 men, ten poses each: 10,000 renders, as in the paper
DEFAULT_POSES = 10
_TEST_PART = 10  # by default one body in so many is for testing


def plan_meshes(
    session: BodySession,
    *,
    ids: int = DEFAULT_IDS,
    test_ids: int | None = None,
    poses: int = DEFAULT_POSES,
    size: tuple[int, int] = (256, 128),
    seed: int = 0,
) -> MeshPlan:
    """Check the parameters of a set of mesh renders; see `synth_meshes` for their meaning.

    Raises:
        UserError: a value out of range.
    """
    test = ids // _TEST_PART if test_ids is None else test_ids
    height, width = size
    rules = [
        (ids >= 1, f"ids must be at least 1, not {ids}."),
        (0 <= test <= ids, f"test_ids must lie between 0 and ids ({ids}), not {test}."),
        (poses >= 1, f"poses must be at least 1, not {poses}."),
        (seed >= 0, f"seed must not be negative, not {seed}."),
        check_size(height, width),
    ]
    for good, what in rules:
        if not good:
            raise UserError(what, "Change that option.")
    return MeshPlan(ids, test, poses, seed, height, width, session.name, session.version)


def synth_meshes(
    out: Path,
    *,
    body: str = DEFAULT,
    ids: int = DEFAULT_IDS,
    test_ids: int | None = None,
    poses: int = DEFAULT_POSES,
    size: tuple[int, int] = (256, 128),
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> SynthSummary:
    """Render bodies without clothes or texture, or finish a set that was interrupted; `reidclip.bodies.mesh_set.open_meshes` reads it.

    Args:
        out: folder to write; new, empty, or an unfinished set with the same parameters.
        body: the body model: NAME, or NAME:FILE.
        ids: number of bodies, women and men in turn.
        test_ids: how many of them, the last, are for testing; a tenth by default.
        poses: pictures per body, each in a pose and from a place of its own.
        size: height and width in pixels.
        seed: the same seed and parameters give the same bytes, whatever the number of workers. A body depends on seed and number alone.
        workers: processes.
        progress: called with (pictures done, pictures in total).
        say: told what takes its time after the pictures.

    Raises:
        UserError: wrong parameters, no such body model or file, or a folder that holds something else.
    """
    start = time.monotonic()
    session = open_body(body)
    plan = plan_meshes(session, ids=ids, test_ids=test_ids, poses=poses, size=size, seed=seed)
    shards.claim(out, plan.as_dict())
    missing = mesh_writer.pending(out, plan)
    total, rendered = plan.ids * plan.poses, 0
    present = total - len(missing) * plan.poses
    for count in render_all(partial(mesh_writer.write_body, out, plan, body), missing, workers):
        rendered += count
        if progress is not None:
            progress(present + rendered, total)
    if say is not None:
        say(f"Measuring {plan.ids} bodies.")
    pictures = shards.join(out, plan.numbers, lambda: _describe(out, plan, session))
    return SynthSummary(out, MESHES, plan.ids, pictures, rendered, time.monotonic() - start)


def _describe(out: Path, plan: MeshPlan, session: BodySession) -> None:
    """Write the table of bodies."""
    rows = {shot.path: number - 1 for number in plan.numbers for shot in plan.shots(number)}
    write_bodies(out, table_of(session, draw_shapes(session, plan.seed, plan.ids), rows))
