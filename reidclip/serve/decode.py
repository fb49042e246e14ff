"""An uploaded picture: told by its content what it is, and how large before it is decoded."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from reidclip.data.images import upright_rgb
from reidclip.serve.refusal import Refusal
from reidclip.serve.settings import MEGABYTE

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
LARGE_PIXELS = 4_000_000  # above, a picture takes so much memory that it is decoded alone
_BAND = 64  # rows
_KNOWN = "Use a JPEG, PNG, WebP or BMP picture."
_BEGINS = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"%PDF": "a PDF",
    b"GIF8": "a GIF",
    b"\x1f\x8b": "a gzip archive",
    b"II*\x00": "a TIFF",
    b"MM\x00*": "a TIFF",
    b"<svg": "an SVG",
    b"<?xml": "an XML text",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}


def open_picture(data: bytes, max_pixels: int) -> Image.Image:
    """A file's content as a picture that is not decoded yet.

    Raises:
        Refusal: 400 empty or damaged; 413 too many pixels; 415 of another type, whatever its name.
    """
    if not data:
        raise Refusal(400, "The file is empty.", "Choose another one.")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many(None, max_pixels) from None
    except (OSError, ValueError, SyntaxError):
        raise _of_another_type(data) from None
    if image.width * image.height > max_pixels:
        raise _too_many(image.size, max_pixels)
    return image


def decode_picture(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright, just as `reidclip.data.images.read_picture` gives it from a file; ``image`` is closed.

    Raises:
        Refusal: 400 damaged or cut off.
    """
    with image:
        try:
            ImageOps.exif_transpose(image, in_place=True)
            return _in_bands(image)
        # a damaged stream may raise nearly anything from within the codecs
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, Image.DecompressionBombError):
            raise Refusal(400, "The picture is damaged or cut off.", "Save it again, or choose another one.") from None


def ignore_warnings() -> None:
    """Pillow warns of big pictures and odd EXIF; the size is checked here. For the whole process: filters are not threads' own."""
    warnings.filterwarnings("ignore", module=r"PIL\b")


def _in_bands(image: Image.Image) -> np.ndarray:
    """Bring every pixel to RGB, some rows after others: the whole at once would be held four times, where it is transparent."""
    image.load()
    whole = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _BAND):
        bottom = min(top + _BAND, image.height)
        whole[top:bottom] = upright_rgb(image.crop((0, top, image.width, bottom)))
    return whole


def _too_many(size: tuple[int, int] | None, max_pixels: int) -> Refusal:
    told = f"{size[0]} x {size[1]} pixels, " if size else ""
    return Refusal(413, f"The picture is too large: {told}more than {max_pixels / MEGABYTE:g} million.", "Crop the person first.")


def _of_another_type(data: bytes) -> Refusal:
    begin = data[:512].lstrip()
    kind = next((told for mark, told in _BEGINS.items() if data.startswith(mark) or begin.lower().startswith(mark)), None)
    if kind is None and begin and b"\0" not in begin and _is_text(begin):
        kind = "a text"
    if kind is None and data.startswith((b"\xff\xd8\xff", b"\x89PNG", b"BM", b"RIFF")):
        return Refusal(400, "The picture is damaged or cut off.", "Save it again, or choose another one.")
    return Refusal(415, f"The file is {kind}, not a picture." if kind else "The file is not a picture that is known here.", _KNOWN)


def _is_text(begin: bytes) -> bool:
    try:
        begin.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(begin) - 4  # cut within a character
    return True
