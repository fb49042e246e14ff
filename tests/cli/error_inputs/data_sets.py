"""Whole data sets that are too small, one-sided or misplaced."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.error_inputs.place import PICTURES, Place
from tests.trees import write_picture


def empty_folder(place: Place, argument: str) -> Path:
    """``data`` without anything in it."""
    place.data.mkdir()
    return place.data


def emptied(place: Place, argument: str) -> Path:
    """All folders of the data set, and no picture in them."""
    for path in sorted(place.data.rglob("*")):
        if path.suffix in PICTURES:
            path.unlink()
    return place.data


def data_is_a_file(place: Place, argument: str) -> Path:
    """A file where the data set should be."""
    place.data.write_text("not a folder\n")
    return place.data


def data_is_an_archive(place: Place, argument: str) -> Path:
    """The archive that somebody forgot to unpack."""
    path = place.root / "data.zip"
    path.write_bytes(b"PK\x05\x06" + bytes(18))
    return path


def notes_only(place: Place, argument: str) -> Path:
    """A folder of texts."""
    (place.data / "docs").mkdir(parents=True)
    (place.data / "docs" / "README.txt").write_text("Nothing here.\n")
    return place.data


def without(place: Place, argument: str) -> Path:
    """The data set without one of its folders."""
    shutil.rmtree(place.data / argument)
    return place.data


def without_lists(place: Place, argument: str) -> Path:
    """The data set without the lists beside its folders."""
    for path in place.data.glob("*.txt"):
        path.unlink()
    return place.data


def list_line(place: Place, argument: str) -> Path:
    """``list_line:FILE=LINE``: one more line in a list of the data set."""
    name, _, line = argument.partition("=")
    path = place.data / name
    path.write_text(path.read_text() + line + "\n")
    return path


def without_frames(place: Place, argument: str) -> Path:
    """A tracklet's folder, and nothing in it."""
    for path in (place.data / argument).iterdir():
        path.unlink()
    return place.data / argument


def one_more(place: Place, argument: str) -> Path:
    """A data set with one more picture of a name that looks right."""
    return write_picture(place.data / argument)


def one_identity(place: Place, argument: str) -> Path:
    """A PRCC whose training half is one person."""
    for folder in sorted((place.data / "rgb/train").iterdir())[1:]:
        shutil.rmtree(folder)
    return place.data


def strange_person(place: Place, argument: str) -> Path:
    """A PRCC with an identity folder that is no number."""
    folder = place.data / "rgb/train/unknown"
    write_picture(folder / "A_cropped_rgb001.jpg")
    return folder


def strange_name(place: Place, argument: str) -> Path:
    """A PRCC with a picture of a camera that it does not have."""
    return write_picture(place.data / "rgb/train/002/D_cropped_rgb001.jpg")


def one_more_picture(place: Place, argument: str) -> None:
    """A data set that grew after its artifacts were made."""
    write_picture(place.data / "rgb/train/002/A_cropped_rgb900.jpg", 5, 32, 16)


def resized_picture(place: Place, argument: str) -> None:
    """A data set one of whose pictures was replaced by another of other size."""
    write_picture(place.picture("train"), 9, 64, 32)


def other_trees_too(place: Place, argument: str) -> Path:
    """A table in a PRCC: two layouts know the folder."""
    lines = [f"{path.relative_to(place.data).as_posix()},1,0,1,train" for path in sorted(place.data.rglob("*.jpg"))]
    (place.data / "index.csv").write_text("path,pid,camid,clothes_id,split\n" + "\n".join(lines) + "\n")
    return place.data


def finder_droppings(place: Place, argument: str) -> None:
    """What operating systems leave in folders; none of it is data."""
    for name in (".DS_Store", "Thumbs.db", "._a.jpg"):
        (place.picture().parent / name).write_bytes(b"\x00\x01")


def data_file(place: Place, argument: str) -> Path:
    """``data_file:PATH=TEXT``: a text file in the data set, folders included."""
    name, _, text = argument.partition("=")
    path = place.data / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def unlinked(place: Place, argument: str) -> Path:
    """One file of the data set less, which is no picture."""
    path = place.data / argument
    path.unlink()
    return path


BUILDERS = (
    data_file,
    unlinked,
    empty_folder,
    emptied,
    data_is_a_file,
    data_is_an_archive,
    notes_only,
    without,
    without_lists,
    list_line,
    without_frames,
    one_more,
    one_identity,
    strange_person,
    strange_name,
    one_more_picture,
    resized_picture,
    other_trees_too,
    finder_droppings,
)
