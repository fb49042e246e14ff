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
_TRIED = 40  # pictures by which a size is chosen
_WIDEST = 2.0  # times the height: a panorama is no person


def data_uri(picture: UInt8, height: int, quality: int) -> str:
    """A JPEG of a picture (H, W, 3), brought down to the height where it is higher; without whatever else its file held."""
    image = Image.fromarray(picture)
    scale = min(1.0, height / image.height, height * _WIDEST / image.width)
    if scale < 1:
        image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS)
    held = io.BytesIO()
    image.save(held, format="JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode()


def thumbnails(
    pictures: Sequence[Read], most_bytes: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[str | None], int]:
    """Data URIs of all pictures, as large as fits.

    Args:
        pictures: functions that decode them.
        most_bytes: of all URIs together.
        progress: (done, total).

    Returns:
        the URIs, None for those at the end for which there was no more room, and the height that was taken, in pixels.
    """
    height, quality = _size(pictures, most_bytes)
    found: list[str | None] = []
    left = most_bytes
    for read in pictures:
        uri = data_uri(read(), height, quality) if left > 0 else None
        left -= len(uri) if uri else 0
        found.append(uri if left >= 0 else None)
        progress(len(found), len(pictures))
    return found, height


def _size(pictures: Sequence[Read], most_bytes: int) -> tuple[int, int]:
    """The best of `SIZES` by which some pictures, spread over all, take no more than their part of the room."""
    if not pictures:
        return SIZES[0]
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), _TRIED)).round().astype(int))
    decoded = [pictures[i]() for i in chosen]
    for height, quality in SIZES:
        mean = sum(len(data_uri(picture, height, quality)) for picture in decoded) / len(decoded)
        if mean * len(pictures) <= 0.95 * most_bytes:
            return height, quality
    return SIZES[-1]
