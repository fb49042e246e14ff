"""Files of a rendered set that make it resumable: its parameters, and descriptions in shards that are joined at the end.

One shard belongs to one person, or one body: pictures first, then a shard of descriptions in the hidden folder ``.synth``, by an
atomic rename. A person counts as done when the shard and all files are there, so a killed run goes on where it stopped, and the
bytes do not depend on how often it was interrupted or on the number of processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from reidclip.errors import UserError
from reidclip.synth.files import ATTRIBUTES, PARAMETERS, SHARDS

Expected = Mapping[int, Sequence[tuple[str, ...]]]
"""Person -> the files of each picture, relative to the set; the first of them is the ``path`` of its description."""


def claim(out: Path, parameters: Mapping[str, object]) -> None:
    """Make ``out`` the folder of a set with these parameters, or check that it already is.

    Raises:
        UserError: it holds something else, or a set with other parameters.
    """
    file = out / PARAMETERS
    if file.exists():
        _check_same(file, parameters)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty and holds no {PARAMETERS}.", "Name a new folder, or empty this one.")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(parameters, indent=2) + "\n")


def _check_same(file: Path, parameters: Mapping[str, object]) -> None:
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


def pending(out: Path, expected: Expected) -> list[int]:
    """People that are not completely written yet; recovers shards from a finished ``attributes.jsonl``."""
    _recover(out, expected)
    return [pid for pid, pictures in expected.items() if not _is_done(out, pid, pictures)]


def _recover(out: Path, expected: Expected) -> None:
    file = out / ATTRIBUTES
    if not file.exists():
        return
    # By path, because a description may call a person nobody.
    shown = {files[0]: pid for pid, pictures in expected.items() for files in pictures}
    lines: dict[int, list[str]] = {}
    for line in file.read_text("utf-8").splitlines(keepends=True):
        try:
            lines.setdefault(shown[json.loads(line)["path"]], []).append(line)
        except (ValueError, KeyError, TypeError):
            continue  # a damaged line: its person is rendered again
    for pid, mine in lines.items():
        if not _shard(out, pid).exists():
            write_atomically(_shard(out, pid), "".join(mine))


def _is_done(out: Path, pid: int, pictures: Sequence[tuple[str, ...]]) -> bool:
    shard = _shard(out, pid)
    if not shard.exists():
        return False
    if shard.read_text("utf-8").count("\n") != len(pictures):
        return False
    return all((out / file).is_file() for files in pictures for file in files)


def make_folders(out: Path, paths: Iterable[str]) -> None:
    """The folders in which these files lie."""
    for folder in sorted({(out / path).parent for path in paths}):
        folder.mkdir(parents=True, exist_ok=True)


def write_shard(out: Path, pid: int, records: Sequence[Mapping[str, object]]) -> None:
    """Describe the pictures of one person, all of which are written."""
    write_atomically(_shard(out, pid), "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def join(out: Path, people: Sequence[int], before_the_end: Callable[[], None]) -> int:
    """Join the shards in this order and remove them; returns the number of descriptions.

    ``before_the_end`` writes what a finished set holds besides: it is called before the shards are gone.
    """
    text = [_shard(out, pid).read_text("utf-8") for pid in people]
    write_atomically(out / ATTRIBUTES, "".join(text))
    before_the_end()
    folder = out / SHARDS
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return sum(t.count("\n") for t in text)


def _shard(out: Path, pid: int) -> Path:
    return out / SHARDS / f"{pid:06d}.jsonl"


def write_atomically(file: Path, text: str) -> None:
    """Write a text file by a rename, making its folder where there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text, "utf-8", newline="\n")
    temporary.replace(file)
