"""Means and standard deviations of the shape coefficients over the renderer's population: what a unit of anny's shape parameters is.

    OMP_NUM_THREADS=1 python examples/bake_bodies/standardise.py reidclip/bodies/assets/anny_population.npz

4,000 people, every other one female; deterministic; seconds. To be run again after `bake.py`, before anything is trained on the bodies.
"""

import sys
from pathlib import Path

import numpy as np

from reidclip.bodies.anny_session import draw_person, person_coefficients
from reidclip.synth.body import body_model

PEOPLE = 4000


def main(out: Path) -> None:
    rng = np.random.default_rng(0)
    model = body_model()
    drawn = np.stack([person_coefficients(model, draw_person(rng, female=number % 2 == 1)) for number in range(PEOPLE)])
    # Two sexes of equal weight: the spread holds what lies between them as well as what lies within them.
    np.savez(out, mean=drawn.mean(0).astype(np.float32), spread=drawn.std(0).astype(np.float32))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
