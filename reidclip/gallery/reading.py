"""What is taken from pictures, videos and trackers' output, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OnError = Literal["fail", "skip"]

MIN_SIZE = 10
"""Pixels: a person narrower than this shows nothing to be recognised by."""


@dataclass(frozen=True)
class Reading:
    """How sources become items.

    Attributes:
        mot: MOT texts, as many as sources, in their order; empty where there are none.
        whole_frames: take whole frames of a video, without boxes.
        every: take every so many-th frame.
        min_size: boxes that are narrower or lower than this, in pixels of the frame and after clipping, are left out.
        min_confidence: detections below it are left out; None takes all.
        padding: is added to a box at each side, as a share of its width and height.
        cameras: numbers of the cameras, one for all sources or one for each; empty where nobody says.
        starts: seconds since the epoch at which the first frame was taken, likewise.
        fps: frames per second, in place of what the video says.
        splits: of data sets; empty takes all pictures.
        on_error: "skip" leaves out broken pictures, bad lines and frames that are missing, and tells how many.
    """

    mot: tuple[Path, ...] = ()
    whole_frames: bool = False
    every: int = 1
    min_size: int = MIN_SIZE
    min_confidence: float | None = None
    padding: float = 0.0
    cameras: tuple[int, ...] = ()
    starts: tuple[float, ...] = ()
    fps: float | None = None
    splits: tuple[str, ...] = ()
    on_error: OnError = "fail"


@dataclass(frozen=True)
class Clock:
    """Where and when a video was taken.

    Attributes:
        camera: its number; -1 where nobody says.
        start: seconds since the epoch of the first frame; None where nobody says, and times count from the begin.
        fps: in place of what the file says.
    """

    camera: int = -1
    start: float | None = None
    fps: float | None = None

    def time(self, frame: int, fps: float | None) -> float | None:
        """Of a frame, from 0; None where neither the user nor the file (``fps``) says how fast frames follow each other."""
        rate = self.fps or fps
        return None if rate is None else (self.start or 0.0) + frame / rate
