"""From the paths of a call to sources: which is a data set, a folder of frames, a picture, a video, and what belongs to each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from reidclip.counted import counted, which
from reidclip.data.files import PICTURE_SUFFIXES, file_names, is_picture
from reidclip.data.images import picture_size
from reidclip.errors import UserError, WorkError
from reidclip.gallery.frames import FRAMES_FOLDER, of_frames, of_video
from reidclip.gallery.items import Item
from reidclip.gallery.labelled import of_folders
from reidclip.gallery.reading import Clock, Reading
from reidclip.gallery.sources import Opened, Source
from reidclip.gallery.video import VIDEO_SUFFIXES
from reidclip.records import Dataset

Kind = Literal["folder", "frames", "picture", "video"]

_FEWEST_FRAMES, _NUMBERED = 3, re.compile(r"(.*?)([0-9]+)")
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})


def open_sources(paths: Sequence[Path], layouts: str | Sequence[str] | None, reading: Reading, say: Callable[[str], None]) -> Opened:
    """Look at every source, in their order (data sets and folders of pictures first, together); no picture is decoded.

    Args:
        paths: at least one.
        layouts: of the data sets, one or as many as there are folders; None recognises them.
        say: is told what takes long.

    Raises:
        UserError: anything that does not fit. WorkError: a video that cannot be decoded.
    """
    _check_distinct(paths)
    kinds = [_kind(path, reading) for path in paths]
    _check_options(paths, kinds, reading)
    notes: list[str] = []
    sources: list[Source] = []
    dataset: Dataset | None = None
    cameras = _each(reading.cameras, len(paths), -1)
    starts = _each(reading.starts, len(paths), None)
    folders = [(path, camera) for path, kind, camera in zip(paths, kinds, cameras, strict=True) if kind == "folder"]
    if folders:
        source, dataset = of_folders([f for f, _ in folders], [c for _, c in folders], layouts, reading.splits, notes)
        sources.append(source)
    pictures = [(path, camera) for path, kind, camera in zip(paths, kinds, cameras, strict=True) if kind == "picture"]
    if pictures:
        items = tuple(Item(os.path.abspath(path), camid=camera) for path, camera in pictures)
        sources.append(Source("pictures", Path(os.sep), items))
    for number, (path, kind) in enumerate(zip(paths, kinds, strict=True)):
        if kind in ("frames", "video"):
            mot = reading.mot[number] if reading.mot else None
            clock = Clock(cameras[number], starts[number], reading.fps)
            open_one = of_video if kind == "video" else of_frames
            sources.append(open_one(path, mot, clock, reading, notes, say))
    root, placed = _below_one_folder(sources, paths)
    placed, twice = _each_once(placed)
    notes += twice + _links_out(root, placed) + _scenes(paths, kinds)
    alone = dataset if len(folders) == len(paths) else None
    return Opened(placed, alone, tuple(notes))


def _kind(path: Path, reading: Reading) -> Kind:
    if path.is_dir():
        return "frames" if reading.mot else "folder"
    if not path.exists():
        raise UserError(f"There is no file or folder {path}.", "Name a data set, a folder of pictures, a picture or a video.")
    if not path.is_file():
        raise UserError(f"{path} is no regular file.", "Name a data set, a folder of pictures, a picture or a video.")
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in PICTURE_SUFFIXES:
        return "picture"
    if suffix in _ARCHIVES:
        raise UserError(f"{path} is an archive, which is not read.", "Unpack it where there is room, and name the folder.")
    raise UserError(
        f"{path} is neither a folder nor a picture nor a video, by its name.",
        f"Pictures end in {', '.join(sorted(PICTURE_SUFFIXES))}; videos in {', '.join(sorted(VIDEO_SUFFIXES))}.",
    )


def _scenes(paths: Sequence[Path], kinds: Sequence[Kind]) -> list[str]:
    """Folders that look like a video's frames, and are taken as pictures of one person each."""
    notes = []
    for path, kind in zip(paths, kinds, strict=True):
        if kind == "folder" and (frames := _looks_like_frames(path)):
            notes.append(
                f"{frames} looks like the frames of a video, and each is taken whole, as a picture of one person: "
                "--mot FILE takes the boxes of a tracker"
            )
    return notes


def _looks_like_frames(folder: Path) -> Path | None:
    """The folder, or its ``img1``, where pictures are called alike but for numbers in a row, and are wider than high: people are not."""
    root = folder / FRAMES_FOLDER if (folder / FRAMES_FOLDER).is_dir() else folder
    names = sorted(name for name in file_names(root) if is_picture(name))
    numbered = [_NUMBERED.fullmatch(Path(name).stem) for name in names]
    called = {match[1]: sorted(int(m[2]) for m in numbered if m) for match in numbered if match}
    if len(names) < _FEWEST_FRAMES or not all(numbered) or len(called) != 1:
        return None
    ((first, *_, last),) = called.values()
    if last - first != len(names) - 1:
        return None
    try:
        height, width = picture_size(root / names[0])
    except WorkError:
        return None
    return root if width > height else None


def _check_options(paths: Sequence[Path], kinds: Sequence[Kind], reading: Reading) -> None:
    """Every option has something that it applies to, and as many values as sources."""
    if reading.mot:
        if len(reading.mot) != len(paths):
            raise UserError(
                f"--mot names {counted(len(reading.mot), 'file', 'files')} for {counted(len(paths), 'source', 'sources')}.",
                "Give one for each, in their order; what has no boxes goes into a call of its own.",
            )
        if "picture" in kinds:
            raise UserError(f"{paths[kinds.index('picture')]} is one picture: --mot is for videos and folders of frames.", "Leave it out.")
        if reading.whole_frames:
            raise UserError("--mot and --whole-frames exclude each other.", "Leave one of them out.")
    elif "video" in kinds and not reading.whole_frames:
        raise UserError(
            f"{paths[kinds.index('video')]} shows whole scenes: a vector is of one person.",
            "Give the boxes that a tracker or detector found: --mot FILE; or take each frame as it is with --whole-frames.",
        )
    for values, option in ((reading.cameras, "--camera"), (reading.starts, "--start-time")):
        if len(values) not in (0, 1, len(paths)):
            raise UserError(
                f"{option} is given {len(values)} times for {counted(len(paths), 'source', 'sources')}.",
                "Give it once for all of them, or once for each in their order.",
            )
    timed = {"--start-time": bool(reading.starts), "--fps": reading.fps is not None, "--every": reading.every != 1}
    if not {"video", "frames"} & set(kinds):
        for option, given in {**timed, "--whole-frames": reading.whole_frames}.items():
            if given:
                raise UserError(f"{option} is for videos and folders of frames, of which there are none.", "Leave it out.")
    if reading.splits and "folder" not in kinds:
        raise UserError("--split is for data sets, of which there are none.", "Leave it out.")


def _each(values: Sequence[Any], count: int, otherwise: Any) -> list[Any]:
    """One value per source."""
    return list(values) if len(values) == count else [values[0] if values else otherwise] * count


def _check_distinct(paths: Sequence[Path]) -> None:
    seen: set[str] = set()
    for path in paths:
        place = os.path.realpath(path)
        if place in seen:
            raise UserError(f"{path} is given twice.", "Name every source once.")
        seen.add(place)


def _below_one_folder(sources: Sequence[Source], paths: Sequence[Path]) -> tuple[Path, tuple[Source, ...]]:
    """The folder above all sources, and these with paths relative to it."""
    tops = [os.path.abspath(path) if path.is_dir() else os.path.dirname(os.path.abspath(path)) for path in paths]
    root = Path(os.path.commonpath(tops))
    placed = []
    for source in sources:
        prefix = os.path.relpath(source.root, root)
        items = tuple(replace(item, path=_joined(prefix, item.path, source.root, root)) for item in source.items)
        placed.append(replace(source, root=root, items=items))
    return root, tuple(placed)


def _joined(prefix: str, path: str, root: Path, new: Path) -> str:
    if os.path.isabs(path):
        return Path(os.path.relpath(path, new)).as_posix()
    return path if prefix == os.curdir else (Path(prefix) / path).as_posix()


def _each_once(sources: Sequence[Source]) -> tuple[tuple[Source, ...], list[str]]:
    """A picture that is in two sources, or in two splits of a data set, is taken once."""
    seen: set[str] = set()
    twice: list[str] = []
    found = []
    for source in sources:
        kept = []
        for place, item in enumerate(source.items):
            if item.key in seen:
                twice.append(item.path)
            else:
                seen.add(item.key)
                kept.append(place)
        if len(kept) < len(source.items):
            cameras = None if source.cameras is None else tuple(source.cameras[k] for k in kept)
            source = replace(source, items=tuple(source.items[k] for k in kept), cameras=cameras)
        if kept:
            found.append(source)
    return tuple(found), [f"{counted(len(twice), 'picture is', 'pictures are')} named twice; {which(twice)}"] if twice else []


def _links_out(root: Path, sources: Sequence[Source]) -> list[str]:
    """A note on pictures that lie elsewhere: they are read, but nobody who is given the root alone will find them."""
    inside: dict[str, bool] = {}
    home = os.path.realpath(root)
    out = []
    for path in dict.fromkeys(item.path for source in sources for item in source.items):
        whole = os.path.join(root, path)
        folder = os.path.dirname(whole)
        if folder not in inside:
            inside[folder] = _is_below(os.path.realpath(folder), home)
        if not inside[folder] or (os.path.islink(whole) and not _is_below(os.path.realpath(whole), home)):
            out.append(path)
    if not out:
        return []
    return [f"{counted(len(out), 'picture is a link', 'pictures are links')} to a place outside {root}; {which(out)}"]


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
