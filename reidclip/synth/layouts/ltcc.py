"""The tree of LTCC: many cameras, several outfits per person, and people who never change among them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reidclip.synth.layouts.base import Camera, Options, Plan, Shot, Span, SynthLayout, appearances_rng, fixed_camera

_CONSTANT = 0.4  # share of people in one outfit; LTCC has 31 of 77 in training and 30 of 75 in testing
_CAMERAS_PER_OUTFIT = (2, 5)  # with two, every picture has a match under another camera, in the same and in other clothes
_NUMBERS = 1000  # pictures of one outfit under one camera are numbered apart from those of the next


class LtccLayout(SynthLayout):
    """``train``, ``query`` and ``test`` (the gallery), flat, and the four lists of identities in ``info``.

    People wear two to ``outfits`` outfits, two people of five only one. Every outfit is seen by two to five of the
    cameras. Of every test person, outfit and camera one more picture is taken, the query.
    """

    name = "ltcc"
    title = "LTCC: twelve cameras, outfits that differ in number, people in constant clothes"
    options = Options(ids=999, images=999, outfits=Span(2, 99, 4), cameras=Span(2, 12, 12), others=frozenset({"style"}))

    def shots(self, plan: Plan, pid: int) -> list[Shot]:
        """The pictures of one person, in the order in which they are described."""
        assert plan.cameras is not None
        cameras = [fixed_camera(plan, f"c{number + 1}", number) for number in range(plan.cameras)]
        rng = appearances_rng(plan, pid)
        outfits = 1 if is_constant(plan, pid) else int(rng.integers(2, plan.outfits + 1))
        return [s for outfit in range(1, outfits + 1) for camera in _seen_by(rng, cameras) for s in _walk(plan, pid, camera, outfit, rng)]

    def lists(self, plan: Plan) -> dict[str, str]:
        """Identities with and without a change of clothes; three digits a line, which fits readers of numbers and of file names."""
        out = {}
        for half, test in (("train", False), ("test", True)):
            mine = [pid for pid in range(1, plan.ids + 1) if plan.is_test(pid) == test]
            for kind, constant in (("change", False), ("unchange", True)):
                lines = [f"{pid:03d}\n" for pid in mine if is_constant(plan, pid) == constant]
                out[f"info/cloth-{kind}_id_{half}.txt"] = "".join(lines)
        return out


def is_constant(plan: Plan, pid: int) -> bool:
    """Whether the person wears one outfit only; evenly spread over each half, and never the first of it."""
    place = pid - (plan.ids - plan.test_ids if plan.is_test(pid) else 0)  # 1, 2, ... within the half
    return int(place * _CONSTANT + 1e-9) > int((place - 1) * _CONSTANT + 1e-9)


def _seen_by(rng: np.random.Generator, cameras: list[Camera]) -> list[Camera]:
    least, most = _CAMERAS_PER_OUTFIT
    count = int(rng.integers(least, min(most, len(cameras)) + 1))
    return [cameras[i] for i in sorted(rng.choice(len(cameras), count, replace=False))]


def _walk(plan: Plan, pid: int, camera: Camera, outfit: int, rng: np.random.Generator) -> Iterator[Shot]:
    """Pictures of one walk past a camera, frames at equal distances."""
    first, step = int(rng.integers(0, 900_000)), int(rng.integers(5, 61))
    test = plan.is_test(pid)
    for n in range(plan.images_per_camera + test):
        split, folder = ("train", "train") if not test else ("gallery", "test") if n else ("query", "query")
        path = f"{folder}/{pid:03d}_{outfit}_{camera.name}_{first + n * step:06d}.png"
        yield Shot(path, pid, camera, outfit, _NUMBERS * outfit + n, split)
