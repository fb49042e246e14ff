"""Small videos of drawn frames, and MOT texts over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from tests.fakes import draw_person

HEIGHT, WIDTH, FPS = 48, 64, 10.0
LEVELS = 20  # of grey between one frame and the next


def grey_frames(count: int) -> list[np.ndarray]:
    """Frames of one grey each, 20 levels brighter than the one before: they tell their number."""
    return [np.full((HEIGHT, WIDTH, 3), LEVELS * number, np.uint8) for number in range(count)]


def people_frames(count: int) -> tuple[list[np.ndarray], list[str]]:
    """Frames through which two people walk, and their boxes as lines of a MOT text."""
    frames, lines = [], []
    for number in range(count):
        frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for track, left in ((7, min(3 * number, WIDTH - 16)), (9, max(40 - 2 * number, 0))):
            frame[8:40, left : left + 16] = draw_person(track, 0, 0, number)[0]
            lines.append(f"{number + 1},{track},{left},8,16,32,0.{number + 1},-1,-1,-1")
        frames.append(frame)
    return frames, lines


def write_video(path: Path, frames: Sequence[np.ndarray], code: str = "MJPG") -> Path:
    """Frames (H, W, 3) uint8 RGB as a video of 10 per second."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), FPS, (width, height))
    assert writer.isOpened(), f"OpenCV cannot write {code} here"
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path
