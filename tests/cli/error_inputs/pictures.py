"""One picture of the data, damaged, or of a kind that programs tend to forget."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from tests.cli.error_inputs.place import Place
from tests.trees import picture as noise


def broken(place: Place, argument: str) -> Path:
    """``broken:KIND`` or ``broken:KIND:HALF``: the first picture's bytes are replaced by those of `_BROKEN`."""
    kind, _, half = argument.partition(":")
    path = place.picture(half)
    path.write_bytes(_BROKEN[kind]())
    return path


def odd(place: Place, argument: str) -> Path:
    """``odd:KIND``: a data set of one whole picture whose kind is unusual, named as in `_ODD`."""
    name, write = _ODD[argument]
    path = place.data / name
    path.parent.mkdir(parents=True)
    path.write_bytes(write())
    return path


def folder_named_like_a_picture(place: Place, argument: str) -> Path:
    """A folder in the place of a picture."""
    path = place.picture(argument)
    path.unlink()
    path.mkdir()
    return path


def dangling_link(place: Place, argument: str) -> Path:
    """A link to a picture that is not there any more."""
    path = place.picture(argument)
    path.unlink()
    path.symlink_to("gone.jpg")
    return path


def removed(place: Place, argument: str) -> None:
    """One picture less than before."""
    place.picture(argument).unlink()


def two_suffixes(place: Place, argument: str) -> Path:
    """Two pictures that differ in the suffix only."""
    path = place.picture()
    twin = path.with_suffix(".png")
    Image.open(path).save(twin)
    return twin


def misnamed(place: Place, argument: str) -> Path:
    """A picture whose name is none of the layout's, beside its first one."""
    beside = place.picture(argument)
    path = beside.with_name("IMG_20240101.jpg")
    path.write_bytes(beside.read_bytes())
    return path


def all_broken(place: Place, argument: str) -> Path:
    """Every picture is a text."""
    for path in sorted(place.data.rglob("*.jpg")):
        path.write_text("no picture\n")
    return place.data


# ----------------------------------------------------------------------------------------------------------------- bytes
def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _rgb(height: int = 48, width: int = 24) -> Image.Image:
    return Image.fromarray(noise(1, height, width))


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, with next to no pixels behind."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")


def _png_text_bomb() -> bytes:
    """A PNG of a few kilobytes whose comment unpacks to 100 MB."""
    bomb = _chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(100_000_000), 9))
    whole = _encoded(_rgb(), "PNG")
    return whole[:33] + bomb + whole[33:]  # behind the signature and IHDR


def _gif_header() -> bytes:
    """A GIF of 65,535 x 65,535 pixels, by its own account."""
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x00;"


def _bad_checksum() -> bytes:
    data = bytearray(_encoded(_rgb(), "PNG"))
    data[60:80] = bytes(20)
    return bytes(data)


def _animation() -> bytes:
    return _encoded(_rgb(), "GIF", save_all=True, append_images=[_rgb(), _rgb()])


def _rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    return _encoded(_rgb(), "JPEG", exif=exif)


def _with_comment() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 1000)
    return _encoded(_rgb(), "PNG", pnginfo=info)


def _deep(mode: str = "I;16") -> bytes:
    return _encoded(Image.fromarray(np.linspace(0, 65535, 48 * 24).reshape(48, 24).astype(np.uint16)), "PNG")


_BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": bytes,
    "text": lambda: b"This is a note, and no picture.\n",
    "web_page": lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "zeros": lambda: bytes(5000),
    "cut_off_jpeg": lambda: _cut(_encoded(_rgb(), "JPEG")),
    "cut_off_png": lambda: _cut(_encoded(_rgb(), "PNG")),
    "jpeg_header_alone": lambda: _encoded(_rgb(), "JPEG")[:150],
    "bad_checksum": _bad_checksum,
    "too_large": lambda: _png_header(30_000, 2_500),
    "ten_thousand": lambda: _png_header(10_000, 10_000),
    "header_bomb": lambda: _png_header(30_000, 30_000),
    "text_bomb": _png_text_bomb,
    "gif_bomb": _gif_header,
    "no_width": lambda: _png_header(0, 10),
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
}

_ODD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "grey": ("a.jpg", lambda: _encoded(_rgb().convert("L"), "JPEG")),
    "cmyk": ("a.jpg", lambda: _encoded(_rgb().convert("CMYK"), "JPEG")),
    "sixteen_bit": ("a.png", _deep),
    "alpha": ("a.png", lambda: _encoded(_rgb().convert("RGBA"), "PNG")),
    "grey_alpha": ("a.png", lambda: _encoded(_rgb().convert("LA"), "PNG")),
    "palette": ("a.png", lambda: _encoded(_rgb().convert("P"), "PNG")),
    "palette_transparent": ("a.png", lambda: _encoded(_rgb().convert("P"), "PNG", transparency=0)),
    "one_bit": ("a.png", lambda: _encoded(_rgb().convert("1"), "PNG")),
    "rotated": ("a.jpg", _rotated),
    "animation_named_png": ("a.png", _animation),
    "png_named_jpg": ("a.jpg", lambda: _encoded(_rgb(), "PNG")),
    "jpeg_named_bmp": ("a.bmp", lambda: _encoded(_rgb(), "JPEG")),
    "progressive": ("a.jpeg", lambda: _encoded(_rgb(), "JPEG", progressive=True)),
    "webp": ("a.webp", lambda: _encoded(_rgb(), "WEBP")),
    "tiff": ("a.tif", lambda: _encoded(_rgb(), "TIFF")),
    "float_tiff": ("a.tiff", lambda: _encoded(Image.fromarray(np.linspace(0, 255, 48 * 24, dtype=np.float32).reshape(48, 24)), "TIFF")),
    "capital_suffix": ("A.JPG", lambda: _encoded(_rgb(), "JPEG")),
    "comment": ("a.png", _with_comment),
    "one_pixel": ("a.png", lambda: _encoded(_rgb(1, 1), "PNG")),
    "very_wide": ("a.png", lambda: _encoded(Image.new("RGB", (30_000, 20), (90, 120, 30)), "PNG")),
    "very_tall": ("a.png", lambda: _encoded(Image.new("L", (3, 30_000), 90), "PNG")),
    "name_with_spaces": ("my folder/Ä [bold] 100%.jpg", lambda: _encoded(_rgb(), "JPEG")),
}

BUILDERS = (broken, odd, folder_named_like_a_picture, dangling_link, removed, two_suffixes, misnamed, all_broken)
