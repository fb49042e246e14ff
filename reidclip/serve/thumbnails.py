"""Small pictures of the gallery's items: by row number, from within the gallery's folder, and kept for a while in bounded memory."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath

from PIL import Image

from reidclip.errors import ReidclipError
from reidclip.gallery.crops import picture_of
from reidclip.gallery.gallery import Gallery
from reidclip.gallery.items import Item
from reidclip.serve.refusal import Refusal

LARGEST = (256, 384)  # width, height in pixels: twice what a card shows
KEPT_BYTES = 32_000_000
QUALITY = 85


class Thumbnails:
    """Makes and keeps JPEGs; asked by several threads."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._decoding = threading.Lock()  # of videos: one at a time, which bounds memory

    def of(self, row: int) -> bytes:
        """The crop of an item as JPEG.

        Raises:
            Refusal: 404 no such row, or its picture is gone, damaged or outside the gallery's folder.
        """
        if not 0 <= row < len(self._gallery.items):
            raise Refusal(404, f"There is no row {row} in this gallery.", f"Rows: 0 to {len(self._gallery.items) - 1}.")
        with self._lock:
            if row in self._kept:
                self._kept.move_to_end(row)
                return self._kept[row]
        made = self._make(self._gallery.items[row])
        with self._lock:
            if row not in self._kept:
                self._kept[row] = made
                self._bytes += len(made)
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made

    def _make(self, item: Item) -> bytes:
        path = inside(self._gallery.root, item.path)
        found = replace(item, path=path.name)  # below the folder that it really is in: nothing is left to be followed
        try:
            with self._decoding if item.frame >= 0 else nullcontext():
                picture = Image.fromarray(picture_of(path.parent, found))
        except (ReidclipError, OSError, ValueError) as error:
            raise Refusal(404, "The picture of this item cannot be read.", "Was it moved, changed or deleted?") from error
        picture.thumbnail(LARGEST, Image.Resampling.BICUBIC, reducing_gap=2.0)
        file = io.BytesIO()
        picture.save(file, format="JPEG", quality=QUALITY)
        return file.getvalue()


def inside(root: Path, path: str) -> Path:
    """The file of an item, symbolic links followed.

    Raises:
        Refusal: 404 where it is no regular file below the gallery's folder, whatever the index says: an index may come from anybody.
    """
    gone = Refusal(404, "The picture of this item is not in the gallery's folder.", "Was it moved or deleted?")
    relative = PurePosixPath(path)
    if not path or "\0" in path or relative.is_absolute() or ".." in relative.parts:
        raise gone
    try:
        below = root.resolve(strict=True)
        found = below.joinpath(*relative.parts).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # a loop of links is one of these, by Python's version
        raise gone from None
    if not found.is_relative_to(below) or not found.is_file():
        raise gone
    return found
