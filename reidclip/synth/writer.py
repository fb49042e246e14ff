"""Files of a rendered data set: pictures, label maps, and a resumable, order-independent ``attributes.jsonl``.

Each person is written whole: pictures first, then a shard of descriptions in the hidden folder ``.synth``, by an atomic
rename. A person counts as done when the shard and all of its files are there, so a killed run goes on where it
stopped, and the bytes do not depend on how often it was interrupted or on the number of processes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from reidclip.data.images import write_indexed_png
from reidclip.data.lip import LIP_PALETTE
from reidclip.errors import UserError, WorkError
from reidclip.synth.body import body_model
from reidclip.synth.files import ATTRIBUTES, GENERATOR_VERSION, PARAMETERS, SHARDS
from reidclip.synth.layouts import LAYOUTS, Plan, Shot
from reidclip.synth.people import photographs
from reidclip.synth.render import Picture


def claim(out: Path, plan: Plan) -> None:
    """Make ``out`` the folder of this plan, or check that it already is.

    Raises:
        UserError: it holds something else, or a set with other parameters.
    """
    parameters = {"generator": GENERATOR_VERSION, **plan.as_dict()}
    file = out / PARAMETERS
    if file.exists():
        _check_same(file, parameters)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty and holds no {PARAMETERS}.", "Name a new folder, or empty this one.")
    else:
        out.mkdir(parents=True, exist_ok=True)
        _write_atomically(file, json.dumps(parameters, indent=2) + "\n")


def _check_same(file: Path, parameters: dict[str, object]) -> None:
    try:
        there = json.loads(file.read_text("utf-8"))
        if not isinstance(there, dict):
            raise ValueError
    except ValueError:
        raise UserError(f"{file} is not readable JSON.", "Delete the folder and render again.") from None
    different = [k for k in dict.fromkeys([*parameters, *there]) if there.get(k) != parameters.get(k)]
    if different:
        said = ", ".join(f"{k} {there.get(k)} (now {parameters.get(k)})" for k in different)
        raise UserError(
            f"{file.parent} was rendered with other parameters: {said}.", "Repeat those parameters to go on, or name a new folder."
        )


def pending(out: Path, plan: Plan) -> list[int]:
    """People that are not completely written yet; recovers shards from a finished ``attributes.jsonl``."""
    _recover_shards(out, plan)
    return [pid for pid in everybody(plan) if not _is_done(out, plan, pid)]


def everybody(plan: Plan) -> range:
    """Numbers of all people that are rendered, strangers included."""
    return range(1, LAYOUTS[plan.layout].people(plan) + 1)


def _recover_shards(out: Path, plan: Plan) -> None:
    file = out / ATTRIBUTES
    if not file.exists():
        return
    # By path, because a description may call a person nobody.
    shown = {shot.path: pid for pid in everybody(plan) for shot in LAYOUTS[plan.layout].shots(plan, pid)}
    lines: dict[int, list[str]] = {}
    for line in file.read_text("utf-8").splitlines(keepends=True):
        try:
            lines.setdefault(shown[json.loads(line)["path"]], []).append(line)
        except (ValueError, KeyError, TypeError):
            continue  # a damaged line: its person is rendered again
    for pid, mine in lines.items():
        if not _shard(out, pid).exists():
            _write_atomically(_shard(out, pid), "".join(mine))


def _is_done(out: Path, plan: Plan, pid: int) -> bool:
    shard = _shard(out, pid)
    if not shard.exists():
        return False
    shots = LAYOUTS[plan.layout].shots(plan, pid)
    if shard.read_text("utf-8").count("\n") != len(shots):
        return False
    return all((out / s.path).is_file() and (out / s.parsing).is_file() for s in shots)


def write_person(out: Path, plan: Plan, pid: int) -> int:
    """Render and write one person; returns the number of pictures."""
    shots = LAYOUTS[plan.layout].shots(plan, pid)
    for folder in sorted({(out / p).parent for s in shots for p in (s.path, s.parsing)}):
        folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for shot, picture, record in photographs(body_model(), plan, pid, shots):
        _write_picture(out, shot, picture)
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    _write_atomically(_shard(out, pid), "".join(lines))
    return len(shots)


def _write_picture(out: Path, shot: Shot, picture: Picture) -> None:
    data = _encoded(shot.path, ".jpg", picture.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, picture.quality])
    if shot.path.endswith(".png"):  # cut out of a compressed video and stored without further loss: the same faults as a JPEG's
        data = _encoded(shot.path, ".png", np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), [])
    (out / shot.path).write_bytes(data.tobytes())
    write_indexed_png(out / shot.parsing, picture.label, LIP_PALETTE)


def _encoded(path: str, suffix: str, image: NDArray[np.uint8], options: list[int]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) BGR as the bytes (n,) of a file."""
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise WorkError(f"OpenCV could not encode {path}.", "Check the OpenCV installation.")
    return np.asarray(data, np.uint8)


def join(out: Path, plan: Plan) -> int:
    """Join the shards in the order of people, remove them, write the set's lists, and return the number of descriptions."""
    for path, content in LAYOUTS[plan.layout].lists(plan).items():
        _write_atomically(out / path, content)
    text = [_shard(out, pid).read_text("utf-8") for pid in everybody(plan)]
    _write_atomically(out / ATTRIBUTES, "".join(text))
    folder = out / SHARDS
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return sum(t.count("\n") for t in text)


def _shard(out: Path, pid: int) -> Path:
    return out / SHARDS / f"{pid:06d}.jsonl"


def _write_atomically(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text, "utf-8", newline="\n")
    temporary.replace(file)
