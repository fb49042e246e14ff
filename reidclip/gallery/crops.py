"""Pictures of items at the encoder's size, batch by batch: decoded in worker processes, or frame after frame out of a video.

Whatever comes in, what is kept of it is small: a decoded picture lives until it is cut out and resized.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reidclip.data.at_work import at
from reidclip.data.images import Filter, UInt8, read_picture, read_resized, resize
from reidclip.data.workers import default_workers, in_order
from reidclip.errors import WorkError
from reidclip.gallery.items import Item
from reidclip.gallery.reading import OnError
from reidclip.gallery.sources import Source
from reidclip.gallery.video import Video

_SKIP = "Or leave broken files out with --on-error skip."


@dataclass(frozen=True)
class Size:
    """Of the encoder's input, and the filter that brings pictures to it."""

    height: int
    width: int
    method: Filter


@dataclass(frozen=True)
class Batch:
    """Some items' pictures.

    Attributes:
        pictures: (B, 3, height, width) uint8; black where one cannot be had.
        good: (B,) bool, which could be had.
    """

    pictures: UInt8
    good: np.ndarray


def read_batches(
    source: Source, batches: Sequence[tuple[int, int]], size: Size, workers: int | None = None, on_error: OnError = "fail"
) -> Iterator[Batch]:
    """Pictures of the source's items ``start`` to ``stop``, for each such pair in ascending order.

    Args:
        workers: processes that decode pictures; None takes the machine's default. Videos are decoded in this one.

    Raises:
        WorkError: a broken picture, or a frame that is missing, unless ``on_error`` is "skip"; names the file.
    """
    if source.kind == "video":
        yield from _of_video(source, batches, size, on_error)
        return
    work = _PictureWork(source.root, size, on_error)
    keys = [source.items[start:stop] for start, stop in batches]
    for found in in_order(work, keys, default_workers() if workers is None else workers):
        yield Batch(found["pictures"].numpy(), found["good"].numpy())


def picture_of(root: Path, item: Item) -> UInt8:
    """What an item shows, to be looked at: (H, W, 3) uint8 RGB. A video's frame is found by a jump, which may miss by a frame.

    Raises:
        WorkError: the file is gone or broken, or has no such frame.
    """
    path = root / item.path
    if item.frame < 0:
        return cut_out(read_picture(path), item, path)
    frame = Video.open(path).at(item.frame)
    if frame is None:
        raise WorkError(f"{path} has no frame {item.frame + 1} that can be decoded.", "Was it cut or replaced?")
    return cut_out(frame, item, path)


def cut_out(picture: UInt8, item: Item, path: Path) -> UInt8:
    """The item's box of its picture or frame; all of it where it has none.

    Raises:
        WorkError: nothing of the box is inside.
    """
    if item.box is None:
        return picture
    left, top, width, height = item.box
    crop = picture[max(top, 0) : top + height, max(left, 0) : left + width]
    if not crop.size:
        raise WorkError(
            f"{path} is {picture.shape[1]} x {picture.shape[0]} pixels: its box {left},{top},{width},{height} is outside.",
            "Were the boxes found in pictures of another size?",
        )
    return crop


@dataclass(frozen=True)
class _PictureWork:
    """A function from items to their pictures, for worker processes."""

    root: Path
    size: Size
    on_error: OnError

    def __call__(self, items: tuple[Item, ...]) -> dict[str, Tensor]:
        pictures, good = _empty(len(items), self.size)
        last: tuple[str, UInt8] | None = None  # boxes of one frame follow each other
        for row, item in enumerate(items):
            path = self.root / item.path
            at(path)
            try:
                if item.box is None:
                    found, _ = read_resized(path, self.size.height, self.size.width, self.size.method)
                else:
                    if last is None or last[0] != item.path:
                        last = None  # before the next is decoded: both may be large
                        last = (item.path, read_picture(path))
                    found = _fitted(cut_out(last[1], item, path), self.size)
            except WorkError as error:
                if self.on_error == "fail":
                    raise WorkError(error.what, f"{error.remedy} {_SKIP}") from error
                good[row] = False
                continue
            pictures[row] = found.transpose(2, 0, 1)
        return {"pictures": torch.from_numpy(pictures), "good": torch.from_numpy(good)}


def _of_video(source: Source, batches: Sequence[tuple[int, int]], size: Size, on_error: OnError) -> Iterator[Batch]:
    """One pass over the frames that the batches need."""
    path = source.root / source.items[0].path
    needed = dict.fromkeys(source.items[place].frame for start, stop in batches for place in range(start, stop))
    frames = Video.open(path).read(list(needed))
    number, frame = -1, None
    for start, stop in batches:
        pictures, good = _empty(stop - start, size)
        for row, item in enumerate(source.items[start:stop]):
            while number < item.frame:
                number, frame = next(frames)
            if frame is None:
                if on_error == "fail":
                    raise WorkError(f"{path}: frame {item.frame + 1} cannot be decoded; the video is cut off or damaged there.", _SKIP)
                good[row] = False
            else:
                pictures[row] = _fitted(cut_out(frame, item, path), size).transpose(2, 0, 1)
        yield Batch(pictures, good)


def _fitted(crop: UInt8, size: Size) -> UInt8:
    return resize(np.ascontiguousarray(crop), size.height, size.width, size.method)


def _empty(count: int, size: Size) -> tuple[UInt8, np.ndarray]:
    return np.zeros((count, 3, size.height, size.width), np.uint8), np.ones(count, np.bool_)
