"""Files of a rendered data set of people: pictures, label maps, and descriptions; see `reidclip.synth.shards` for how it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reidclip.data.images import write_indexed_png
from reidclip.data.lip import LIP_PALETTE
from reidclip.errors import WorkError
from reidclip.synth import shards
from reidclip.synth.body import body_model
from reidclip.synth.files import GENERATOR_VERSION
from reidclip.synth.layouts import LAYOUTS, Plan, Shot
from reidclip.synth.people import photographs
from reidclip.synth.render import Picture


def claim(out: Path, plan: Plan) -> None:
    """Make ``out`` the folder of this plan, or check that it already is.

    Raises:
        UserError: it holds something else, or a set with other parameters.
    """
    shards.claim(out, {"generator": GENERATOR_VERSION, **plan.as_dict()})


def pending(out: Path, plan: Plan) -> list[int]:
    """People that are not completely written yet."""
    layout = LAYOUTS[plan.layout]
    return shards.pending(out, {pid: [(s.path, s.parsing) for s in layout.shots(plan, pid)] for pid in everybody(plan)})


def everybody(plan: Plan) -> range:
    """Numbers of all people that are rendered, strangers included."""
    return range(1, LAYOUTS[plan.layout].people(plan) + 1)


def write_person(out: Path, plan: Plan, pid: int) -> int:
    """Render and write one person; returns the number of pictures."""
    shots = LAYOUTS[plan.layout].shots(plan, pid)
    shards.make_folders(out, (p for s in shots for p in (s.path, s.parsing)))
    records = []
    for shot, picture, record in photographs(body_model(), plan, pid, shots):
        _write_picture(out, shot, picture)
        records.append(record)
    shards.write_shard(out, pid, records)
    return len(shots)


def _write_picture(out: Path, shot: Shot, picture: Picture) -> None:
    data = encoded(shot.path, ".jpg", picture.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, picture.quality])
    if shot.path.endswith(".png"):  # cut out of a compressed video and stored without further loss: the same faults as a JPEG's
        data = encoded(shot.path, ".png", np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), [])
    (out / shot.path).write_bytes(data.tobytes())
    write_indexed_png(out / shot.parsing, picture.label, LIP_PALETTE)


def encoded(path: str, suffix: str, image: NDArray[np.uint8], options: list[int]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) BGR as the bytes (n,) of a file."""
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise WorkError(f"OpenCV could not encode {path}.", "Check the OpenCV installation.")
    return np.asarray(data, np.uint8)


def join(out: Path, plan: Plan, describe: Callable[[], None]) -> int:
    """Join the descriptions in the order of people, write the set's lists, and return the number of descriptions.

    ``describe`` writes the table of their bodies.
    """

    def besides() -> None:
        for path, content in LAYOUTS[plan.layout].lists(plan).items():
            shards.write_atomically(out / path, content)
        describe()

    return shards.join(out, everybody(plan), besides)
