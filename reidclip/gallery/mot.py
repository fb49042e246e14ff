"""Trackers' and detectors' output as MOT text: one box per line, ``frame,id,left,top,width,height[,confidence,...]``.

The format of the MOTChallenge (Leal-Taixé et al. 2015, arXiv:1504.01942, section 3.3; ground truth with nine columns: Milan et al. 2016,
arXiv:1603.00831, section 3.4): frames count from 1, an id of -1 is a detection without track. Its instructions count pixels from 1 too,
what trackers write counts them from 0; nothing in a file tells which, and a box that is one pixel off is the same crop: boxes are taken
as they are told, from 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reidclip.counted import counted
from reidclip.errors import UserError
from reidclip.gallery.reading import OnError

_TRUTH_COLUMNS = 9  # frame, id, box, whether it counts, class, visibility
_PEDESTRIAN = 1


@dataclass(frozen=True, slots=True)
class Detection:
    """One box.

    Attributes:
        line: of the file, from 1.
        frame: from 0.
        track: the tracker's number; -1 without one.
        left, top, width, height: in pixels from the frame's corner, as they were told.
        confidence: as it was told; 1 where it is not.
    """

    line: int
    frame: int
    track: int
    left: float
    top: float
    width: float
    height: float
    confidence: float = 1.0


def frame_told(frame: int) -> str:
    """A frame as keys and items.csv count it, from 0, and as MOT texts do: "frame 19 (MOT 20)"."""
    return f"frame {frame} (MOT {frame + 1})"


def read_mot(path: Path, on_error: OnError = "fail") -> tuple[list[Detection], list[str]]:
    """All boxes of a file by frame, track and line, and notes on lines that were left out.

    Of ground truth with nine columns, the eighth a class from 1, only pedestrians that count are taken.

    Args:
        on_error: "skip" leaves out lines that are wrong; "fail" stops at the first.

    Raises:
        UserError: no such file, none that is text, a wrong line, or no box at all.
    """
    found: list[Detection] = []
    wrong: list[int] = []
    others = 0
    for number, line in _lines(path):
        try:
            detection = _detection(number, line)
        except ValueError as error:
            if on_error == "fail":
                raise UserError(
                    f"{path}, line {number}: {error}.",
                    "A line reads frame,id,left,top,width,height,confidence: mend it, or leave bad lines out with --on-error skip.",
                ) from error
            wrong.append(number)
            continue
        if detection is None:
            others += 1
        else:
            found.append(detection)
    left_out = [f"{counted(others, 'box', 'boxes')} of ground truth left out, which do not count or are no pedestrians"] if others else []
    if wrong:
        left_out.append(f"{counted(len(wrong), 'bad line', 'bad lines')} left out, the first is line {wrong[0]}")
    if not found:
        why = f": {'; '.join(left_out)}" if left_out else ""
        raise UserError(f"{path} holds no boxes{why}.", "A line reads frame,id,left,top,width,height,confidence.")
    notes = [f"{path}: {note}" for note in left_out]
    return sorted(found, key=lambda d: (d.frame, d.track, d.line)), notes


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a MOT text.", "Name the file: gt.txt, det.txt, or what your tracker wrote.")
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except FileNotFoundError as error:
        raise UserError(f"There is no MOT text {path}.", "Check the path given with --mot.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text.", "Give a MOT text: a line reads frame,id,left,top,width,height,confidence.") from error


def _detection(number: int, line: str) -> Detection | None:
    """None for boxes of ground truth that do not count; `ValueError` with what is wrong."""
    cells = line.split(",") if "," in line else line.split()
    if len(cells) < 6:
        raise ValueError(f"{counted(len(cells), 'column', 'columns')}, at least 6 are needed")
    try:
        values = [float(cell) for cell in cells[:8]]
    except ValueError:
        raise ValueError(f"{line.strip()[:60]!r} does not hold numbers") from None
    if not all(map(math.isfinite, values)):
        raise ValueError("a number is not finite")
    frame, track, left, top, width, height = values[:6]
    if frame != int(frame) or frame < 1:
        raise ValueError(f"frame {cells[0].strip()} is not a whole number from 1")
    if track != int(track):
        raise ValueError(f"id {cells[1].strip()} is not a whole number")
    if max(abs(track), frame) >= 2**53 or max(map(abs, (left, top, width, height))) > 1e9:
        raise ValueError("a number is absurdly large")
    if width <= 0 or height <= 0:
        raise ValueError(f"a box of {cells[4].strip()} x {cells[5].strip()} is empty")
    is_truth = len(cells) == _TRUTH_COLUMNS and values[7] >= 1  # a tracker may leave out one of its three numbers in space, all -1
    if is_truth and (values[6] == 0 or values[7] != _PEDESTRIAN):
        return None
    return Detection(number, int(frame) - 1, max(int(track), -1), left, top, width, height, values[6] if len(values) > 6 else 1.0)
