"""The bodies of rendered, dressed people: so that shapes and words predicted from their pictures can be compared with the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reidclip.bodies.anny_session import opened
from reidclip.bodies.body_table import table_of, write_bodies
from reidclip.synth.identity import identity_rng, sample_identity
from reidclip.synth.layouts import LAYOUTS, Plan


def write_people_bodies(out: Path, plan: Plan) -> None:
    """Write the table of bodies of a rendered set; person ``n`` has row ``n - 1``.

    It names the pictures that the tree gives to a person; those of nobody and of badly cut boxes (Market-1501's 0000 and -1) are left out.
    """
    session, people = opened(), range(1, plan.ids + 1)
    shapes = np.stack([session.shape_of(sample_identity(identity_rng(plan.seed, pid))) for pid in people])
    shots = [shot for pid in people for shot in LAYOUTS[plan.layout].shots(plan, pid)]
    write_bodies(out, table_of(session, shapes, {shot.path: shot.pid - 1 for shot in shots if shot.named is None}))
