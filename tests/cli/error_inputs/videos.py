"""Videos and trackers' output, whole and damaged."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from tests.cli.error_inputs.place import Place
from tests.trees import write_picture
from tests.videos import people_frames, write_video


def video(place: Place, argument: str) -> Path:
    """``walk.avi`` of six frames and ``walk.txt``, its boxes."""
    frames, lines = people_frames(6)
    (place.root / "walk.txt").write_text("\n".join(lines) + "\n")
    return write_video(place.root / "walk.avi", frames)


def damaged_video(place: Place, argument: str) -> Path:
    """``walk.avi``, with "text" in it, "empty", or "cut" in the middle of its pictures."""
    path = place.root / "walk.avi"
    data = path.read_bytes()
    path.write_bytes({"text": b"no video\n", "empty": b"", "cut": data[: len(data) * 3 // 4]}[argument])
    return path


def mot(place: Place, argument: str) -> Path:
    """The MOT text holds this line alone, or, of "+LINE", it too."""
    path = place.root / "walk.txt"
    before = path.read_text() if argument.startswith("+") else ""
    path.write_text(before + argument.removeprefix("+") + "\n")
    return path


def binary_mot(place: Place, argument: str) -> Path:
    """A MOT text that is none."""
    path = place.root / "walk.txt"
    path.write_bytes(bytes(range(128, 256)))
    return path


def zip_bomb(place: Place, argument: str) -> Path:
    """``people.zip``: 100 MB of zeros in a few kilobytes."""
    path = place.root / "people.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, archive.open("a.jpg", "w") as file:
        for _ in range(100):
            file.write(bytes(1_000_000))
    return path


def zip_named_jpg(place: Place, argument: str) -> Path:
    """The same with a picture's name, in the folder ``data``."""
    write_picture(place.data / "a.jpg", 1)
    path = place.data / "b.jpg"
    shutil.move(zip_bomb(place, ""), path)
    return path


def note(place: Place, argument: str) -> Path:
    """``notes.txt``."""
    path = place.root / "notes.txt"
    path.write_text("nothing to see\n")
    return path


def folder_without_pictures(place: Place, argument: str) -> Path:
    """``nobody``, with a text in it."""
    path = place.root / "nobody"
    path.mkdir()
    (path / "readme.txt").write_text("nothing to see\n")
    return path


BUILDERS = (video, damaged_video, mot, binary_mot, zip_bomb, zip_named_jpg, note, folder_without_pictures)
