"""What parse and mask share: which pictures a data set holds, and reading them in order past broken ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from reidclip.data.files import mirrored
from reidclip.data.images import UInt8
from reidclip.data.join import place_of
from reidclip.data.loader import iterate_pictures
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset

OnError = Literal["fail", "skip"]


def picture_paths(dataset: Dataset) -> tuple[str, ...]:
    """Relative paths of all pictures, frames of tracklets included, each once, in the data set's order.

    Raises:
        UserError: two pictures differ in the suffix only, so that they would share one label map.
    """
    paths = tuple(dict.fromkeys(path for s in dataset.samples for path in s.pictures))
    owner: dict[str, str] = {}
    for path in paths:
        other = owner.setdefault(mirrored(path), path)
        if other != path:
            raise UserError(
                f"{place_of(dataset)}: {other} and {path} differ in the suffix only and would share one mask.", "Rename one of them."
            )
    return paths


def read_pictures(dataset: Dataset, paths: Sequence[str], workers: int | None, on_error: OnError) -> Iterator[tuple[str, UInt8 | None]]:
    """Each relative path of a data set with its picture, (H, W, 3) uint8 RGB, in order; with ``on_error="skip"`` None for a broken file.

    Raises:
        WorkError: a broken file, with ``on_error="fail"``; names the file.
    """
    start = 0
    while start < len(paths):
        try:
            for picture in iterate_pictures([dataset.file(path) for path in paths[start:]], workers):
                start += 1
                yield paths[start - 1], picture
        except WorkError as error:
            if on_error == "fail":
                raise WorkError(error.what, f"{error.remedy} Or leave broken files out with --on-error skip.") from error
            start += 1
            yield paths[start - 1], None


def in_batches(
    items: Iterator[tuple[str, UInt8 | None]], batch_size: int, max_pixels: int = 24_000_000
) -> Iterator[list[tuple[str, UInt8 | None]]]:
    """Groups of at most ``batch_size`` items, fewer when pictures are large, so that memory stays bounded.

    No group reaches over a multiple of ``batch_size``: which pictures come together does not hang on the size of earlier ones.
    """
    batch: list[tuple[str, UInt8 | None]] = []
    pixels = 0
    for number, (path, picture) in enumerate(items, start=1):
        batch.append((path, picture))
        pixels += 0 if picture is None else picture.shape[0] * picture.shape[1]
        if number % batch_size == 0 or pixels >= max_pixels:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch
