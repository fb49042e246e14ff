"""Frames of video files, decoded by OpenCV (FFmpeg), one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reidclip.data.images import MAX_PIXELS, UInt8
from reidclip.errors import WorkError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv"})

_COUNTED = frozenset({".mp4", ".m4v", ".mov", ".avi"})  # containers that say how many frames they hold; the others' numbers are estimates
_MAX_FPS = 1000.0  # above it the header's number is a clock's, not a camera's

# A "video" may be a playlist that names other files and addresses: FFmpeg is to read this very file, as one of these containers.
_OPTIONS = "protocol_whitelist;file|format_whitelist;mov,avi,matroska,mpegts,mpeg,mpegvideo,asf,flv"
_QUIET = "-8"  # FFmpeg's level of telling: nothing
_REMEDY = "Convert it, for example: ffmpeg -i VIDEO -c:v libx264 converted.mp4."


@dataclass(frozen=True)
class Video:
    """A video file whose first frame was decoded.

    Attributes:
        path: the file.
        height, width: of the frames, upright.
        fps: frames per second; None where the file does not say.
        told: how many frames the container says that it holds; 0 where it does not.
    """

    path: Path
    height: int
    width: int
    fps: float | None
    told: int

    @classmethod
    def open(cls, path: Path) -> Video:
        """Look at a file.

        Raises:
            WorkError: it is no video that can be decoded, or its frames are absurdly large.
        """
        import cv2

        with _capture(path) as capture:
            width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
            if width * height > MAX_PIXELS:
                raise WorkError(f"{path}: frames of {width} x {height} pixels, more than {MAX_PIXELS // 10**6} million.", "Scale it down.")
            fps, told = float(capture.get(cv2.CAP_PROP_FPS)), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            read, frame = capture.read()
            if not read:
                raise WorkError(f"No frame of {path} can be decoded.", _REMEDY)
            return cls(path, frame.shape[0], frame.shape[1], fps if 0 < fps <= _MAX_FPS else None, int(told) if 0 < told < 2**53 else 0)

    @cached_property
    def frames(self) -> int:
        """How many there are: as the container says, or counted by decoding all of them where it only estimates."""
        if self.told and self.path.suffix.lower() in _COUNTED:
            return self.told
        with _capture(self.path) as capture:
            count = 0
            while capture.grab():
                count += 1
        return count

    def read(self, wanted: Sequence[int]) -> Iterator[tuple[int, UInt8 | None]]:
        """Frames by number, from 0, in ascending order: (H, W, 3) uint8 RGB, None for one behind the last that can be decoded.

        All frames before are decoded too: to jump is not exact with every codec.
        """
        with _capture(self.path) as capture:
            place = 0  # of the frame that is decoded next
            ended = False
            for number in wanted:
                while not ended and place <= number:
                    ended = not capture.grab()
                    place += 1
                yield number, None if ended else _decoded(capture)

    def at(self, number: int) -> UInt8 | None:
        """One frame, found by a jump: to be looked at, for it may be a neighbour of the one asked for."""
        import cv2

        with _capture(self.path) as capture:
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
            return _decoded(capture) if capture.grab() else None


@contextmanager
def _capture(path: Path) -> Iterator[Any]:
    """The opened file; `WorkError` where it is none that can be decoded."""
    import cv2

    given = {"OPENCV_FFMPEG_CAPTURE_OPTIONS": _OPTIONS, "OPENCV_FFMPEG_LOGLEVEL": _QUIET}
    before = {name: os.environ.get(name) for name in given}
    level = cv2.utils.logging.getLogLevel()
    os.environ.update(given)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(os.fspath(path.absolute()), cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(level)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    try:
        if not capture.isOpened():
            raise WorkError(f"{path} cannot be decoded as a video: it is cut off, damaged, or none.", _REMEDY)
        yield capture
    finally:
        capture.release()


def _decoded(capture: Any) -> UInt8 | None:
    read, frame = capture.retrieve()
    return np.ascontiguousarray(frame[:, :, ::-1]) if read else None
