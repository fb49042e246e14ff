"""Pictures of a page as data URIs, no larger together than a page should be."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from reidclip.data.images import UInt8

Read = Callable[[], UInt8]
SIZES = ((160, 82), (128, 78), (96, 72), (64, 65))
"""Height in pixels and JPEG quality, the best first."""
HIGHEST = SIZES[0][0]
_TRIED = 40  # pictures by which a size is chosen
_WIDEST = 2.0  # times the height: a panorama is no person


def brought_down(picture: UInt8, height: int) -> UInt8:
    """A picture (H, W, 3) no higher than ``height``, and no wider than `_WIDEST` times that; a smaller one as it is."""
    scale = min(1.0, height / picture.shape[0], height * _WIDEST / picture.shape[1])
    if scale == 1:
        return picture
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def data_uri(picture: UInt8, height: int, quality: int) -> str:
    """A JPEG of a picture (H, W, 3), brought down to the height where it is higher; without whatever else its file held."""
    held = io.BytesIO()
    Image.fromarray(brought_down(picture, height)).save(held, format="JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode()


def thumbnails(
    pictures: Sequence[Read], most_bytes: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[str | None], int]:
    """Data URIs of all pictures, as large as fits.

    Pictures may be as large as a file may be: each is decoded once, and no two are held at a time.

    Args:
        pictures: functions that decode them.
        most_bytes: of all URIs together.
        progress: (done, total).

    Returns:
        the URIs, None for those at the end for which there was no more room, and the height that was taken, in pixels.
    """
    tried = {place: _in_all_sizes(pictures[place]) for place in _spread(len(pictures))}
    level = _level(list(tried.values()), len(pictures), most_bytes)
    found: list[str | None] = []
    left = most_bytes
    for place, read in enumerate(pictures):
        known = tried.get(place)
        uri = None if left <= 0 else known[level] if known else data_uri(read(), *SIZES[level])
        left -= len(uri) if uri else 0
        found.append(uri if left >= 0 else None)
        progress(len(found), len(pictures))
    return found, SIZES[level][0]


def _spread(count: int) -> list[int]:
    """Places of some pictures, spread over all."""
    return [int(place) for place in np.unique(np.linspace(0, count - 1, min(count, _TRIED)).round())]


def _in_all_sizes(read: Read) -> tuple[str, ...]:
    picture = read()
    return tuple(data_uri(picture, height, quality) for height, quality in SIZES)


def _level(tried: Sequence[tuple[str, ...]], count: int, most_bytes: int) -> int:
    """Place in `SIZES` of the best by which some of ``count`` pictures take no more than their part of the room."""
    for level in range(len(SIZES)):
        if sum(len(uris[level]) for uris in tried) * count <= 0.95 * most_bytes * len(tried):
            return level
    return len(SIZES) - 1
