"""Items of videos and of folders of frames: a tracker's crops, or whole frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path

from reidclip.counted import counted
from reidclip.data.files import file_names, is_picture
from reidclip.data.images import picture_size
from reidclip.errors import UserError
from reidclip.gallery.boxes import Box, chosen_boxes
from reidclip.gallery.items import Item
from reidclip.gallery.mot import Detection, frame_told, read_mot
from reidclip.gallery.reading import Clock, Reading
from reidclip.gallery.sources import Source
from reidclip.gallery.video import Video

FRAMES_FOLDER, SEQUENCE_FILE = "img1", "seqinfo.ini"
"""Of a sequence of the MOTChallenge."""

Say = Callable[[str], None]


def of_video(path: Path, mot: Path | None, clock: Clock, reading: Reading, notes: list[str], say: Say) -> Source:
    """A video's boxes, or its whole frames where ``mot`` is None.

    Raises:
        WorkError: it cannot be decoded. UserError: the MOT text is wrong, or its frames are not in the video.
    """
    video = Video.open(path)
    if video.fps is None and clock.fps is None:
        notes.append(f"{path} does not say how many frames a second has: its crops have no time (--fps tells it)")
    say(f"video: {path}, {video.width} x {video.height}, {counted(video.frames, 'frame', 'frames')}")
    if mot is None:
        taken = range(0, video.frames, reading.every)
        items = [Item(path.name, frame, time=clock.time(frame, video.fps), camid=clock.camera) for frame in taken]
    else:
        boxes = _boxes(mot, (video.height, video.width), reading, notes)
        boxes = _within(boxes, video.frames, path, mot, reading, notes)
        items = [
            Item(path.name, d.frame, box, d.track, clock.time(d.frame, video.fps), camid=clock.camera) for d, box in boxes
        ]  # by frame: they are decoded in this order
    return Source("video", Path(os.path.abspath(path.parent)), tuple(items))


def of_frames(folder: Path, mot: Path | None, clock: Clock, reading: Reading, notes: list[str], say: Say) -> Source:
    """Boxes in a folder of frames, or in the ``img1`` of a MOTChallenge sequence.

    Files called by numbers alone are frames of these numbers, as MOT texts count, from 1; where there is a frame 0, one less. Others are
    numbered in the order of their names.
    """
    assert mot is not None
    root = folder / FRAMES_FOLDER if (folder / FRAMES_FOLDER).is_dir() else folder
    files = _numbered(root)
    if set(Path(files.get(0, "1")).stem) == {"0"}:
        notes.append(f"{root}: frames begin with {files[0]}, which is taken for frame 1 of {mot}")
    fps = _frame_rate(root.parent / SEQUENCE_FILE)
    say(f"frames: {root}, {counted(len(files), 'picture', 'pictures')}")
    boxes = _boxes(mot, picture_size(root / next(iter(files.values()))), reading, notes)
    missing = [d for d, _ in boxes if d.frame not in files]
    if missing:
        told = f"{mot}, line {missing[0].line}: {frame_told(missing[0].frame)} is not in {root}"
        _refuse_or_note(told, len(missing), reading, notes)
    items = [
        Item(files[d.frame], box=box, track=d.track, time=clock.time(d.frame, fps), camid=clock.camera)
        for d, box in boxes
        if d.frame in files
    ]
    if not items:
        raise UserError(f"None of the boxes of {mot} is in a frame of {root}.", "Do they belong together?")
    return Source("pictures", Path(os.path.abspath(root)), tuple(items))


def _boxes(mot: Path, size: tuple[int, int], reading: Reading, notes: list[str]) -> list[tuple[Detection, Box]]:
    detections, told = read_mot(mot, reading.on_error)
    boxes, left_out = chosen_boxes(detections, reading, size)
    notes += told + [f"{mot}: {note}" for note in left_out]
    if not boxes:
        raise UserError(
            f"None of the {counted(len(detections), 'box', 'boxes')} of {mot} is taken: {'; '.join(left_out) or 'none is in every frame'}.",
            "Look at --min-size, --min-confidence and --every; does the file belong to this video?",
        )
    return boxes


def _within(
    boxes: list[tuple[Detection, Box]], frames: int, path: Path, mot: Path, reading: Reading, notes: list[str]
) -> list[tuple[Detection, Box]]:
    """Those in frames that the video has."""
    inside = [(d, box) for d, box in boxes if d.frame < frames]
    if len(inside) < len(boxes):
        first = next(d for d, _ in boxes if d.frame >= frames)
        told = f"{mot}, line {first.line}: {frame_told(first.frame)}, but {path} has {counted(frames, 'frame', 'frames')}"
        _refuse_or_note(told, len(boxes) - len(inside), reading, notes)
    if not inside:
        raise UserError(f"None of the boxes of {mot} is in a frame of {path}.", "Do they belong together?")
    return inside


def _refuse_or_note(told: str, count: int, reading: Reading, notes: list[str]) -> None:
    if reading.on_error == "fail":
        raise UserError(f"{told}.", "Do they belong together? Or leave such boxes out with --on-error skip.")
    notes.append(f"{told}; {counted(count, 'box', 'boxes')} left out")


def _numbered(root: Path) -> Mapping[int, str]:
    """Frame, from 0 -> name of its file."""
    names = [name for name in file_names(root) if is_picture(name)]
    if not names:
        raise UserError(f"{root} holds no frames.", "With --mot, name a video or the folder of its frames.")
    stems = [Path(name).stem for name in names]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        first = min(1, *map(int, stems))
        return {int(stem) - first: name for stem, name in sorted(zip(stems, names, strict=True), key=lambda pair: int(pair[0]))}
    return dict(enumerate(names))


def _frame_rate(path: Path) -> float | None:
    """What a sequence says of itself; None where there is no such file, or nothing that can be read."""
    parser = ConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        rate = parser.getfloat("Sequence", "frameRate", fallback=0.0)
    except (ConfigError, ValueError):
        return None
    return rate if 0 < rate < 1e4 else None
