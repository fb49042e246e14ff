"""The tree of Market-1501: one outfit per person, six cameras, and a gallery with strangers and badly cut boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from reidclip.synth.layouts.base import Camera, Options, Plan, Shot, Span, SynthLayout, appearances_rng, fixed_camera

MOST_EXTRAS = 30_000  # frames of strangers and of junk are told apart by six digits
EXTRAS_PER_TEST_ID = 3  # by default, of either kind; with four pictures per camera that is the benchmark's share of them
_STRANGER = ("whole", "part", "beside")  # a false detection is another person, a piece of one, or nobody
_JUNK = ("shifted", "cut", "loose")
_FEW = 3  # cameras that see a person at least
_NOBODY, _USELESS = 0, -1
_JUNK_NUMBERS = 1000  # after those of a person's pictures under a camera
_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


class MarketLayout(SynthLayout):
    """``bounding_box_train``, ``query`` and ``bounding_box_test``.

    A person is seen by three to all cameras. Of every test person and camera one more picture is taken, the query.
    ``bounding_box_test`` also holds ``distractors`` named ``0000`` (a stranger, a piece of a stranger and a place without
    anybody, in turn) and ``junk`` named ``-1`` (test people in shifted, cut and far too large boxes, in turn).
    """

    name = "market1501"
    title = "Market-1501: six cameras, one outfit, distractors and junk"
    options = Options(
        ids=9999, images=999, outfits=Span(1, 1, 1), cameras=Span(2, 6, 6), others=frozenset({"distractors", "junk", "style"})
    )  # fmt: skip

    def people(self, plan: Plan) -> int:
        """Strangers come after the people of the data set."""
        return plan.ids + -(-(plan.distractors or 0) // len(_STRANGER))

    def shots(self, plan: Plan, pid: int) -> list[Shot]:
        """The pictures of one person, in the order in which they are described."""
        assert plan.cameras is not None
        # Detected boxes lose feet more often than drawn ones.
        cameras = [replace(fixed_camera(plan, f"c{number + 1}", number), cut_feet=0.06) for number in range(plan.cameras)]
        rng = appearances_rng(plan, pid)
        if pid > plan.ids:
            return list(_stranger(plan, pid, cameras, rng))
        count = int(rng.integers(min(_FEW, len(cameras)), len(cameras) + 1))
        seen = [cameras[i] for i in sorted(rng.choice(len(cameras), count, replace=False))]
        out = [shot for camera in seen for shot in _walk(plan, pid, camera, rng)]
        return [*out, *_junk(plan, pid, cameras, rng)] if plan.is_test(pid) else out


def _walk(plan: Plan, pid: int, camera: Camera, rng: np.random.Generator) -> Iterator[Shot]:
    """Pictures of one walk past a camera, in one sequence, frames at equal distances."""
    sequence, first, step = int(rng.integers(1, 7)), int(rng.integers(1, 100_000)), 25 * int(rng.integers(1, 4))
    box = int(rng.integers(1, 6))
    test = plan.is_test(pid)
    for n in range(plan.images_per_camera + test):
        split = "train" if not test else "gallery" if n else "query"
        drawn = 0 if split == "query" else box  # box 00 is the one drawn by hand
        path = f"{_FOLDERS[split]}/{pid:04d}_{camera.name}s{sequence}_{first + n * step:06d}_{drawn:02d}.jpg"
        yield Shot(path, pid, camera, 1, n, split)


def _stranger(plan: Plan, pid: int, cameras: list[Camera], rng: np.random.Generator) -> Iterator[Shot]:
    """Up to three distractors: a person who is not in the data set, a piece of them, and a box beside them."""
    first = (pid - plan.ids - 1) * len(_STRANGER)
    for n, framing in enumerate(_STRANGER[: (plan.distractors or 0) - first]):
        yield _extra(plan, pid, cameras, rng, "0000", first + n, Shot("", pid, cameras[0], 1, n, "gallery", _NOBODY, framing))


def _junk(plan: Plan, pid: int, cameras: list[Camera], rng: np.random.Generator) -> Iterator[Shot]:
    """The person's share of the badly cut boxes."""
    place = pid - (plan.ids - plan.test_ids) - 1
    for n, index in enumerate(range(place, plan.junk or 0, plan.test_ids)):
        framing = _JUNK[(place + n) % len(_JUNK)]
        shot = Shot("", pid, cameras[0], 1, _JUNK_NUMBERS + n, "gallery", _USELESS, framing)
        yield _extra(plan, pid, cameras, rng, "-1", index, shot)


def _extra(plan: Plan, pid: int, cameras: list[Camera], rng: np.random.Generator, prefix: str, index: int, shot: Shot) -> Shot:
    """The shot under some camera; ``index`` counts all extras of a kind and keeps their frames apart."""
    camera = cameras[int(rng.integers(len(cameras)))]
    sequence, frame, box = int(rng.integers(1, 7)), 25 * index + int(rng.integers(1, 26)), int(rng.integers(1, 6))
    return replace(shot, camera=camera, path=f"{_FOLDERS['gallery']}/{prefix}_{camera.name}s{sequence}_{frame:06d}_{box:02d}.jpg")
