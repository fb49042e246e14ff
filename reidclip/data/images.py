"""Pictures, label maps and masks on disk: the only place that opens or writes image files.

Decoding and resizing are Pillow's, as in the published programs, so that pixels agree with theirs to the last bit.
All arrays are uint8; pictures are (H, W, 3) RGB, label maps (H, W) with a label index per pixel, masks (H, W) with 0 and 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from reidclip.errors import WorkError

UInt8 = npt.NDArray[np.uint8]
Filter = Literal["bilinear", "bicubic"]
Decoding = Literal["exact", "fast"]
Palette = Sequence[tuple[int, int, int]]

MAX_PIXELS = 64_000_000  # far above any camera's crop: a larger picture is a broken header or an attack, and would fill the memory

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_REMEDY = "Replace the file by an intact copy, or take it out of the data set."
_MAP_REMEDY = "Make the masks or label maps again."  # they are made from the pictures: nothing is lost


def read_picture(path: Path) -> UInt8:
    """Decode a picture of any mode to RGB, upright as its EXIF orientation says; transparency is laid on white.

    Returns:
        (H, W, 3) uint8.

    Raises:
        WorkError: missing, truncated, empty, unreadable or absurdly large file; names the file.
    """
    with _opened(path) as (image, _):
        return upright_rgb(image)


def read_reduced(path: Path, height: int) -> UInt8:
    """Decode a picture as `read_picture` does, to look at: a JPEG at least twice as high is halved (quartered, ...) while it is decoded.

    Returns:
        (H, W, 3) uint8, no lower than ``height`` where the file is not.

    Raises:
        WorkError: as `read_picture`.
    """
    with _opened(path, at_least=(height, 1)) as (image, _):
        return upright_rgb(image)


def upright_rgb(image: Image.Image) -> UInt8:
    """An opened picture as `read_picture` gives it, decoded where it was not; what a damaged one raises is the codec's. (H, W, 3)."""
    return np.array(_to_rgb(ImageOps.exif_transpose(image)), dtype=np.uint8)


def read_resized(path: Path, height: int, width: int, method: Filter, decoding: Decoding = "exact") -> tuple[UInt8, tuple[int, int]]:
    """Decode a picture as `read_picture` does and resize it with Pillow's antialiased filter.

    Args:
        path: the file.
        height, width: of the result.
        method: filter.
        decoding: "fast" lets a JPEG that is at least twice as large both ways be halved (quartered, ...) while it is decoded, which
            leaves out part of the work and changes pixels a little; everything else is decoded as by "exact".

    Returns:
        (height, width, 3) uint8, and height and width of the picture as `read_picture` would return it.

    Raises:
        WorkError: as `read_picture`.
    """
    with _opened(path, at_least=(height, width) if decoding == "fast" else None) as (image, size):
        upright = _to_rgb(ImageOps.exif_transpose(image))
        if upright.size != (width, height):
            upright = upright.resize((width, height), _FILTERS[method])
        return np.array(upright, dtype=np.uint8), size


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a picture file holds, known from decoding all of it.

    Attributes:
        height, width: in pixels, as `read_picture` returns it.
        mode: how the file stores its pixels, in Pillow's words: "RGB", "L" (grey), "P" (palette), "CMYK", "RGBA", "I;16".
        format: of the file, whatever its name says: "JPEG", "PNG".
        rotated: its EXIF orientation asks for a turn or a flip.
    """

    height: int
    width: int
    mode: str
    format: str
    rotated: bool


def examine_picture(path: Path) -> PictureFacts:
    """Decode a picture as `read_picture` does, and tell what it is.

    Raises:
        WorkError: as `read_picture`.
    """
    with _opened(path) as (image, _):
        rotated = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
        upright = _to_rgb(ImageOps.exif_transpose(image))
        return PictureFacts(upright.height, upright.width, image.mode, image.format or "unknown", rotated)


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width as `read_picture` would return them, from the file's header alone.

    Raises:
        WorkError: missing, empty, unreadable or absurdly large file; a truncated one is not noticed.
    """
    with _opened(path, decode=False) as (_, size):
        return size


def resize(image: UInt8, height: int, width: int, method: Filter) -> UInt8:
    """Resize a picture with Pillow's antialiased filter. (H0, W0, 3) -> (height, width, 3)."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), _FILTERS[method]))


def resize_nearest(labels: UInt8, height: int, width: int) -> UInt8:
    """Resize a label map or mask by nearest neighbour, which makes no new values. (H0, W0) -> (height, width)."""
    if labels.shape == (height, width):
        return labels
    return np.array(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def write_picture_png(path: Path, image: UInt8) -> None:
    """Write a picture, (H, W, 3) uint8 RGB, as PNG. The folder must exist.

    Raises:
        ValueError: wrong type or shape.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a picture must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    Image.fromarray(np.ascontiguousarray(image)).save(path, format="PNG")


def write_indexed_png(path: Path, labels: UInt8, palette: Palette) -> None:
    """Write a label map as an 8-bit indexed PNG, the format that SCHP writes. The folder must exist.

    Args:
        path: file to write.
        labels: (H, W) uint8, every value below ``len(palette)``.
        palette: label index -> RGB.

    Raises:
        ValueError: wrong type or shape, or a label without a colour.
    """
    _check_plane(labels, "labels")
    if labels.size and int(labels.max()) >= len(palette):
        raise ValueError(f"label {int(labels.max())} has no colour in a palette of {len(palette)}")
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette([value for colour in palette for value in colour])
    image.save(path, format="PNG")


def read_indexed_png(path: Path) -> tuple[UInt8, tuple[tuple[int, int, int], ...]]:
    """Read a label map: an 8-bit indexed PNG, or a grey one whose values are the labels (its palette is empty).

    Returns:
        labels (H, W) uint8, and the palette, label index -> RGB.

    Raises:
        WorkError: unreadable file, or a picture that is no label map (RGB, 16 bit).
    """
    with _opened(path, remedy=_MAP_REMEDY) as (image, _):
        if image.mode not in ("P", "L", "1"):
            raise WorkError(
                f"{path} is no label map: its mode is {image.mode}, not 8-bit indexed or grey.", "Give the folder of label maps."
            )
        flat = (image.getpalette("RGB") or []) if image.mode == "P" else []
        labels = np.array(image, dtype=np.uint8)
    return labels, tuple((flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3))


def write_mask_png(path: Path, mask: UInt8) -> None:
    """Write a mask as a 1-bit PNG (1 is white). The folder must exist.

    Args:
        path: file to write.
        mask: (H, W) uint8 or bool, 0 or 1.

    Raises:
        ValueError: wrong type, shape or values.
    """
    plane = mask.astype(np.uint8) if mask.dtype == np.bool_ else mask
    _check_plane(plane, "mask")
    if plane.size and int(plane.max()) > 1:
        raise ValueError(f"a mask holds 0 and 1, got {int(plane.max())}")
    Image.fromarray(np.ascontiguousarray(plane * 255)).convert("1", dither=Image.Dither.NONE).save(path, format="PNG")


def read_mask_png(path: Path) -> UInt8:
    """Read a mask. Returns (H, W) uint8, 0 or 1.

    Raises:
        WorkError: unreadable file, or one that is no black and white picture.
    """
    with _opened(path, remedy=_MAP_REMEDY) as (image, _):
        if image.mode not in ("1", "L"):
            raise WorkError(f"{path} is no mask: its mode is {image.mode}, not 1-bit.", "Make the masks again with `reidclip mask`.")
        one_bit = image.mode == "1"
        plane = np.array(image.convert("L"), dtype=np.uint8)
    mask: UInt8 = plane & np.uint8(1)
    if not one_bit and not np.array_equal(mask * np.uint8(255), plane):
        raise WorkError(f"{path} is no mask: it holds shades of grey.", "Make the masks again with `reidclip mask`.")
    return mask


@contextmanager
def _opened(
    path: Path, decode: bool = True, remedy: str | None = None, at_least: tuple[int, int] | None = None
) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """Open and (by default) decode; also height and width of the upright picture, whatever it was reduced to.

    Whatever Pillow raises for a bad file becomes one `WorkError`; None is the remedy for pictures. ``at_least`` is the height and width
    that a JPEG may be reduced to while it is decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of big pictures and odd EXIF; the size is checked here
            image = Image.open(path)
    except FileNotFoundError as error:
        raise WorkError(
            f"There is no picture at {path}.",
            remedy or "Was it moved or deleted? Restore it, or run the command on the data as it is now.",
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise WorkError(f"{path} is not a readable picture ({_reason(error)}).", remedy or _REMEDY) from error
    with image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise WorkError(
                f"{path} is {width} x {height} pixels, more than {MAX_PIXELS // 10**6} million.", remedy or "Crop the person first."
            )
        sideways = False
        try:
            sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            if at_least:
                image.draft(None, at_least if sideways else at_least[::-1])
            if decode:
                image.load()
        # A damaged stream may raise nearly anything from within the codecs.
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
            raise WorkError(f"{path} is damaged or cut off ({_reason(error)}).", remedy or _REMEDY) from error
        yield image, (width, height) if sideways else (height, width)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "unknown or empty format"
    if isinstance(error, OSError) and error.strerror:  # without the path, which the sentence has named already
        return error.strerror
    return str(error).split("\n")[0].rstrip(".") or type(error).__name__


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: 16-bit grey is scaled, not clipped; transparent pixels become white."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        plane = np.asarray(image, dtype=np.int64)
        return Image.fromarray((plane >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _check_plane(plane: UInt8, what: str) -> None:
    if plane.ndim != 2 or plane.dtype != np.uint8:
        raise ValueError(f"{what} must be uint8 (H, W), got {plane.dtype} {plane.shape}")
