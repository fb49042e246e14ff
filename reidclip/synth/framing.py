"""Boxes that a detector should not have made: pieces of a person, places beside them, boxes moved, cut or far too large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reidclip.synth.camera import View

FRAMINGS = ("whole", "part", "beside", "shifted", "cut", "loose")
"""``whole``: the person as usual. False detections: ``part`` shows a piece of the person, ``beside`` none of them. Badly cut
boxes: ``shifted`` sideways by about half the width, ``cut`` at waist or neck, ``loose`` with as much space around as the person fills.
"""


def reframe(view: View, framing: str, rng: np.random.Generator) -> View:
    """The same view with another box.

    Raises:
        ValueError: no such framing.
    """
    side = float(rng.choice([-1.0, 1.0]))
    if framing == "part":
        share = float(rng.uniform(0.2, 0.4))  # of the person's height
        above = float(rng.uniform(0, 1 - share))
        return replace(view, top=-above, bottom=share + above - 1, shift=0.4 * view.shift + side * float(rng.uniform(0, 0.25)), rigid=True)
    if framing == "beside":
        return replace(view, shift=side * float(rng.uniform(1.8, 2.6)), rigid=True)
    if framing == "shifted":
        return replace(view, shift=side * float(rng.uniform(0.4, 0.6)), rigid=True)
    if framing == "cut":
        if rng.random() < 0.7:
            return replace(view, bottom=-float(rng.uniform(0.45, 0.6)), rigid=True)
        return replace(view, top=-float(rng.uniform(0.25, 0.45)), rigid=True)
    if framing == "loose":
        return replace(
            view,
            top=float(rng.uniform(0.4, 0.9)),
            bottom=float(rng.uniform(0.3, 0.7)),
            shift=side * float(rng.uniform(0, 0.25)),
            rigid=True,
        )
    raise ValueError(f"unknown framing {framing!r}")
