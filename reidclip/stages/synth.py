"""Render a data set of people whose identity does not depend on their clothes: the library twin of ``reidclip synth``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reidclip.errors import UserError, nearest
from reidclip.stages.render_pool import render_all
from reidclip.synth import writer
from reidclip.synth.layouts import LAYOUTS, NO_LIMIT, Plan
from reidclip.synth.layouts.market1501 import EXTRAS_PER_TEST_ID, MOST_EXTRAS
from reidclip.synth.styles import STYLES

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SynthSummary:
    """What a call of `synth` did.

    Attributes:
        out: the data set.
        layout: its tree.
        identities, pictures: totals in the data set.
        rendered: pictures rendered by this call; the others were there already.
        seconds: wall time of this call.
    """

    out: Path
    layout: str
    identities: int
    pictures: int
    rendered: int
    seconds: float


def plan_synth(
    *,
    layout: str = "prcc",
    ids: int = 60,
    test_ids: int | None = None,
    outfits: int | None = None,
    images_per_camera: int = 4,
    seed: int = 0,
    size: tuple[int, int] = (256, 128),
    control: bool = False,
    val_images: int = 0,
    cameras: int | None = None,
    distractors: int | None = None,
    junk: int | None = None,
    style: str | None = None,
) -> Plan:
    """Check the parameters of a data set, and fill in the layout's own values for those that are None; see `synth` for their meaning.

    Raises:
        UserError: a value out of range, an unknown layout, or an option that the layout does not have.
    """
    if layout not in LAYOUTS:
        raise UserError(f"Unknown layout '{layout}'.", nearest(layout, LAYOUTS))
    has = LAYOUTS[layout].options
    if style is not None and style not in STYLES:
        raise UserError(f"Unknown style '{style}'.", nearest(style, STYLES))
    given = {"control": control, "val_images": val_images, "distractors": distractors, "junk": junk, "style": style}
    for name, value in given.items():
        if value and name not in has.others:
            _refuse(layout, name, [other for other, tree in LAYOUTS.items() if name in tree.options.others])
    if cameras is not None and has.cameras is None:
        _refuse(layout, "cameras", [other for other, tree in LAYOUTS.items() if tree.options.cameras is not None])
    if test_ids and not has.test_part:
        _refuse(layout, "test_ids", [other for other, tree in LAYOUTS.items() if tree.options.test_part])
    test = (ids // has.test_part if has.test_part else 0) if test_ids is None else test_ids
    worn = has.outfits.default if outfits is None else outfits
    seen = has.cameras.default if has.cameras is not None and cameras is None else cameras
    strangers, useless = (
        (EXTRAS_PER_TEST_ID * test if value is None else value) if name in has.others else None
        for name, value in (("distractors", distractors), ("junk", junk))
    )
    height, width = size
    plan = Plan(layout, ids, test, worn, images_per_camera, val_images, seed, height, width, control, seen, strangers, useless, style)
    _check(plan)
    return plan


def _refuse(layout: str, option: str, others: list[str]) -> None:
    raise UserError(f"The layout {layout} has no option {option}.", f"Leave it out; it is for {', '.join(others)}.")


def _check(plan: Plan) -> None:
    """Raise `UserError` for the first value out of range."""
    has, layout = LAYOUTS[plan.layout].options, plan.layout
    rules = [
        _within("ids", plan.ids, 1, has.ids, layout),
        (0 <= plan.test_ids <= plan.ids, f"test_ids must lie between 0 and ids ({plan.ids}), not {plan.test_ids}."),
        _within("outfits", plan.outfits, has.outfits.least, has.outfits.most, layout),
        _within("images_per_camera", plan.images_per_camera, 1, has.images, layout),
        _within("val_images", plan.val_images, 0, has.images - plan.images_per_camera, layout),
        (plan.seed >= 0, f"seed must not be negative, not {plan.seed}."),
        check_size(plan.height, plan.width),
    ]
    if plan.cameras is not None and has.cameras is not None:
        rules.append(_within("cameras", plan.cameras, has.cameras.least, has.cameras.most, layout))
    for name, value in (("distractors", plan.distractors), ("junk", plan.junk)):
        if value is not None:
            rules.append(_within(name, value, 0, MOST_EXTRAS, layout))
            rules.append((not value or plan.test_ids > 0, f"{name} must be 0, not {value}, where test_ids is 0: there is no gallery."))
    for good, what in rules:
        if not good:
            raise UserError(what, "Change that option.")


def check_size(height: int, width: int) -> tuple[bool, str]:
    """Whether pictures may be as large, and what to say if not."""
    return 32 <= height <= 2048 and 16 <= width <= 2048, f"size must lie between 32x16 and 2048x2048, not {height}x{width}."


def _within(name: str, value: int, least: int, most: int, layout: str) -> tuple[bool, str]:
    """Whether a value fits, and what to say if it does not."""
    where = f" for the layout {layout}"
    if least == most:
        return value == least, f"{name} must be {least}{where}, not {value}."
    if most >= NO_LIMIT:
        return value >= least, f"{name} must be at least {least}{where}, not {value}."
    return least <= value <= most, f"{name} must lie between {least} and {most}{where}, not {value}."


def synth(
    out: Path,
    *,
    layout: str = "prcc",
    ids: int = 60,
    test_ids: int | None = None,
    outfits: int | None = None,
    images_per_camera: int = 4,
    seed: int = 0,
    workers: int = 1,
    size: tuple[int, int] = (256, 128),
    control: bool = False,
    val_images: int = 0,
    cameras: int | None = None,
    distractors: int | None = None,
    junk: int | None = None,
    style: str | None = None,
    progress: Progress | None = None,
) -> SynthSummary:
    """Render a data set, or finish one that was interrupted.

    The bodies of its people are written beside it (`reidclip.bodies.mesh_set.open_bodies`), to a set that lacks them too.

    Args:
        out: folder to write; new, empty, or an unfinished set with the same parameters.
        layout: ``prcc`` (cameras A, B, C; other clothes in C), ``ltcc`` (twelve cameras, outfits that differ in number, people
            in constant clothes), ``vcclothes`` (four cameras; other clothes in the fourth), ``market1501`` (six cameras, one
            outfit, distractors and junk) or ``pairs`` (flat, for pre-training). See `reidclip.synth.layouts`.
        ids: number of people.
        test_ids: how many of them are for testing; by default a third (prcc), none (pairs) or half (the others).
        outfits: outfits per person. prcc, vcclothes: the first is worn under cameras A, B and 1, 2, 3, the others in turn
            under C and 4 (2 by default). ltcc: people who change wear two to so many (4). market1501: always 1.
            pairs: 0, the default, draws a new outfit for every picture.
        images_per_camera: pictures per person and camera, ltcc: and outfit. Where the tree has a folder of queries, test
            people get one more, the query.
        seed: the same seed and parameters give the same bytes, whatever the number of workers.
        workers: processes.
        size: height and width in pixels.
        control: add ``rgb/test/C_same``: camera C in the clothes of camera A (prcc).
        val_images: held-out pictures per training person and camera (prcc).
        cameras: number of cameras, 2 to 12 (ltcc) or 6 (market1501); the most by default.
        distractors, junk: pictures of nobody (``0000``) and of badly cut boxes (``-1``) in the gallery; three per test
            person by default (market1501).
        style: name of a style in `reidclip.synth.styles`: places, cameras, season and resolution of the whole set (not pairs).
        progress: called with (pictures done, pictures in total).

    Raises:
        UserError: wrong parameters, or a folder that holds something else.
    """
    start = time.monotonic()
    plan = plan_synth(
        layout=layout, ids=ids, test_ids=test_ids, outfits=outfits, images_per_camera=images_per_camera, seed=seed, size=size,
        control=control, val_images=val_images, cameras=cameras, distractors=distractors, junk=junk, style=style,
    )  # fmt: skip
    writer.claim(out, plan)
    missing = writer.pending(out, plan)
    counts = pictures_of(plan)
    total, rendered = sum(counts.values()), 0
    present = total - sum(counts[p] for p in missing)
    for count in render_all(partial(writer.write_person, out, plan), missing, workers):
        rendered += count
        if progress is not None:
            progress(present + rendered, total)
    pictures = writer.join(out, plan, partial(_write_bodies, out, plan))
    return SynthSummary(out, plan.layout, plan.ids, pictures, rendered, time.monotonic() - start)


def _write_bodies(out: Path, plan: Plan) -> None:
    from reidclip.stages.people_bodies import write_people_bodies  # torch, which a dry run need not wait for

    write_people_bodies(out, plan)


def pictures_of(plan: Plan) -> dict[int, int]:
    """Number of pictures of every person who is rendered, strangers included."""
    return {pid: len(LAYOUTS[plan.layout].shots(plan, pid)) for pid in writer.everybody(plan)}


def default_workers() -> int:
    """One process per core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
