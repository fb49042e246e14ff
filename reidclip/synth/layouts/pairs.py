"""A flat set for pre-training image-text models and parsers: many people, a new outfit and place for every picture."""

from __future__ import annotations

import numpy as np

from reidclip.synth.layouts.base import NO_LIMIT, Camera, Options, Plan, Shot, Span, SynthLayout, pid_name

_PLACES, _NEIGHBOURS = 24, 16  # people in a row share places, so that a process can keep them in memory


class PairsLayout(SynthLayout):
    """``images/<pid>_<k>.jpg``; ``outfits`` 0 means a new outfit for every picture."""

    name = "pairs"
    title = "Flat picture-caption pairs for pre-training"
    options = Options(ids=NO_LIMIT, images=999, outfits=Span(0, NO_LIMIT, 0), test_part=0)

    def shots(self, plan: Plan, pid: int) -> list[Shot]:
        """The pictures of one person, in the order in which they are described."""
        rng = np.random.default_rng(np.random.SeedSequence([plan.seed, 5, pid // _NEIGHBOURS]))
        places = tuple(int(p) for p in rng.integers(1 << 20, 1 << 30, _PLACES))
        camera = Camera("0", 0, places, None, cut_feet=0.08, occluded=0.12)
        person = pid_name(plan, pid)
        return [
            Shot(f"images/{person}_{n:02d}.jpg", pid, camera, n % plan.outfits if plan.outfits else n, n, "train")
            for n in range(plan.images_per_camera)
        ]
