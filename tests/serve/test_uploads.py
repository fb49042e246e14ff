"""Files that are no pictures, too large, cut off or made to fill the memory: told, and nothing kept."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import resource
import struct
import tempfile
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from reidclip.data.images import read_picture
from reidclip.gallery.gallery import Gallery
from reidclip.serve import finder
from reidclip.serve.decode import decode_picture, open_picture
from reidclip.serve.refusal import Refusal
from reidclip.serve.settings import ServeSettings
from reidclip.serve.uploads import FIELDS_BYTES
from reidclip.stages.serve import make_app
from tests.serve.directly import call
from tests.serve.running import running
from tests.serve.small_gallery import picture

pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")

MOST_MEMORY_KB = 100_000  # that one bad picture may add; decoded, each of these would take 300 MB and more


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.kron(picture(3), np.ones((8, 8, 1), np.uint8))).save(file, format="JPEG")
    return file.getvalue()


def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("person.jpg", jpeg())
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A header of that size, and what is given: no rows need be there."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def zeros() -> bytes:
    """120 MB, compressed piece by piece, so that the test itself does not take the memory that it watches."""
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(b"\0" * 1_000_000) for _ in range(120)), packer.flush()])


def whole_png(width: int, height: int) -> bytes:
    """All white, one bit per pixel: a small file that can be decoded."""
    file = io.BytesIO()
    Image.new("1", (width, height), 1).save(file, format="PNG")
    return file.getvalue()


def broken_jpeg() -> bytes:
    content = bytearray(jpeg())
    at = content.index(b"\xff\xc0") + 5  # height and width of the frame
    content[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(content)


BAD: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "empty": (lambda: b"", 400, "The file is empty."),
    "a text": (lambda: b"this is no picture\n" * 9, 415, "The file is a text, not a picture."),
    "a text in other letters": (lambda: "это не картинка ".encode() * 99, 415, "The file is a text"),
    "a zip": (packed, 415, "The file is a zip archive, not a picture."),
    "a zip after a gif": (lambda: b"GIF89a" + packed(), 415, "The file is a GIF"),
    "a gif": (lambda: b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", 415, "The file is a GIF"),
    "a tiff": (lambda: b"II*\0" + b"\0" * 99, 415, "The file is a TIFF"),
    "an svg": (lambda: b"  <svg xmlns='http://www.w3.org/2000/svg'/>", 415, "The file is an SVG"),
    "a page": (lambda: b"<html><script>alert(1)</script></html>", 415, "The file is a text"),
    "a program": (lambda: b"\x7fELF" + b"\0" * 99, 415, "The file is a program"),
    "noise": (lambda: bytes(range(128, 256)) * 9, 415, "not a picture that is known here"),
    "a cut-off jpeg": (lambda: jpeg()[: len(jpeg()) // 2], 400, "The picture is damaged or cut off."),
    "the begin of a jpeg": (lambda: jpeg()[:4], 400, "The picture is damaged or cut off."),
    "the begin of a png": (lambda: png(9, 9)[:20], 400, "The picture is damaged or cut off."),
    "a png without its rows": (lambda: png(90, 90), 400, "The picture is damaged or cut off."),
    "10,000 pixels a side": (lambda: whole_png(10_000, 10_000), 413, "10000 x 10000 pixels, more than 20 million"),
    "a row too many": (lambda: whole_png(4000, 5001), 413, "4000 x 5001 pixels, more than 20 million"),
    "a jpeg that says 65,535 pixels": (broken_jpeg, 413, "more than 20 million"),
    "a bomb by its header": (lambda: png(2_000_000_000, 2_000_000_000), 413, "The picture is too large"),
    "a bomb in a text": (lambda: png(9, 9, chunk(b"zTXt", b"a\0\0" + zeros())), 400, "damaged or cut off"),
    "a bomb in a profile": (lambda: png(9, 9, chunk(b"iCCP", b"a\0\0" + zeros())), 400, "damaged or cut off"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(client: httpx.Client, name: str) -> None:
    make, status, says = BAD[name]
    content = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = client.post("/api/search", files={"picture": ("person.jpg", content, "image/jpeg")})
    assert answer.status_code == status and says in answer.json()["error"], answer.text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY_KB
    assert client.get("/api/health").status_code == 200


def flat_png(depth: int, colour: int, bytes_per_pixel: int) -> bytes:
    """4000 x 5000 pixels of zeros, as many as are allowed, in some 20 kB."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4000, 5000, depth, colour, 0, 0, 0))
    packer, row = zlib.compressobj(1), bytes(1 + 4000 * bytes_per_pixel)
    rows = b"".join([*(packer.compress(row) for _ in range(5000)), packer.flush()])
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_large_pictures_are_refused_without_a_warning(gallery: Gallery) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        make_app(gallery)
        with pytest.raises(Refusal):
            open_picture(whole_png(10_000, 10_000), 20_000_000)
    assert told == []


def peak_kb() -> int:
    """Most memory since `forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the most memory that a process had cannot be forgotten here")


@pytest.mark.parametrize(("depth", "colour", "size"), [(8, 6, 4), (16, 0, 2)], ids=["transparent", "16-bit grey"])
def test_the_largest_picture_takes_little_memory(gallery: Gallery, depth: int, colour: int, size: int) -> None:
    form = [BEGIN, flat_png(depth, colour, size), b"\r\n--b--\r\n"]
    app = make_app(gallery)
    assert call(app, "POST", "/api/search", FORM, [BEGIN, jpeg(), b"\r\n--b--\r\n"]).status == 200  # what is loaded once
    gc.collect()
    forget_peak()
    before = peak_kb()
    answer = call(app, "POST", "/api/search", FORM, form)
    assert answer.status == 200 and (answer.json["query"]["width"], answer.json["query"]["height"]) == (4000, 5000)
    assert peak_kb() - before < 170_000  # 7 bytes per pixel, and the resize; all planes at once took 460 MB and more


def test_large_pictures_are_decoded_one_at_a_time(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first waits for another to begin: a small one may, a large one may not."""
    inside, most, other = 0, 0, threading.Event()

    def watched(image: Image.Image) -> np.ndarray:
        nonlocal inside, most
        if image.width < 1000:
            other.set()
        else:
            inside += 1
            most = max(most, inside)
            assert other.wait(60)
            inside -= 1
        return picture(3)

    monkeypatch.setattr(finder, "decode_picture", watched)
    with running(make_app(gallery, ServeSettings(threads=4))) as address:

        async def ask() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=address, timeout=60) as client:
                files = [whole_png(4000, 4000)] * 3 + [jpeg()]
                return await asyncio.gather(*(client.post("/api/search", files={"picture": content}) for content in files))

        assert [answer.status_code for answer in asyncio.run(ask())] == [200] * 4
    assert most == 1


MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "PA", "I;16", "transparent P", "transparent L", "CMYK")


@pytest.mark.parametrize("turn", [1, 3, 6, 7])
@pytest.mark.parametrize("mode", MODES)
def test_pixels_are_those_of_a_file(tmp_path: Path, mode: str, turn: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (150, 90, 4), dtype=np.uint8)
    name = mode.removeprefix("transparent ")
    if name == "I;16":
        image = Image.fromarray(np.random.default_rng(0).integers(0, 65535, (150, 90), dtype=np.uint16))
    else:
        image = Image.fromarray(noise).convert("P" if name == "PA" else name) if name != "CMYK" else Image.fromarray(noise, "CMYK")
    exif = Image.Exif()
    exif[274] = turn
    path = tmp_path / "a"
    more = {"transparency": 7} if mode.startswith("transparent") else {"transparency": bytes(range(256))} if name == "PA" else {}
    image.save(path, format="JPEG" if name == "CMYK" else "PNG", exif=exif, **more)
    np.testing.assert_array_equal(decode_picture(open_picture(path.read_bytes(), 10**6)), read_picture(path))


def test_a_picture_with_an_archive_behind_it_is_the_picture(client: httpx.Client) -> None:
    plain, both = (client.post("/api/search", files={"picture": c}).json()["hits"] for c in (jpeg(), jpeg() + packed()))
    assert both == plain


def test_the_name_and_type_of_the_file_count_for_nothing(client: httpx.Client) -> None:
    for name, kind in (("../../x.jpg", "image/jpeg"), ("a.txt", "text/plain"), ("\0", "image/svg+xml")):
        assert client.post("/api/search", files={"picture": (name, jpeg(), kind)}).status_code == 200


# --------------------------------------------------------------------------------------------------------------------- size
LIMIT = 1_000_000
BEGIN = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
FORM = {"content-type": "multipart/form-data; boundary=b"}


def endless() -> Iterator[bytes]:
    """A picture that never ends."""
    yield BEGIN
    while True:
        yield b"\0" * 10_000


@pytest.fixture(scope="module")
def small(gallery: Gallery) -> object:
    return make_app(gallery, ServeSettings(max_upload=LIMIT))


def test_a_stream_is_left_at_the_first_byte_too_many(small: object) -> None:
    answer = call(small, "POST", "/api/search", FORM, endless())  # type: ignore[arg-type]
    assert answer.status == 413 and "larger than 1 MB" in answer.json["error"]
    assert answer.taken <= LIMIT // 10_000 + 2


def test_what_says_that_it_is_too_large_is_not_begun(small: object) -> None:
    answer = call(small, "POST", "/api/search", {**FORM, "content-length": str(LIMIT + FIELDS_BYTES + 1)}, endless())  # type: ignore[arg-type]
    assert answer.status == 413 and answer.taken == 0


@pytest.mark.parametrize("part", [b'name="top"', b'name="x"; filename="y"'])
def test_fields_cannot_be_large_instead(small: object, part: bytes) -> None:
    begin = b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n\r\n"
    answer = call(small, "POST", "/api/search", FORM, [begin, *[b"1" * 10_000] * 200])  # type: ignore[arg-type]
    assert answer.status == 413 and answer.taken <= FIELDS_BYTES // 10_000 + 2


@pytest.mark.parametrize("junk", [b"x: " + b"y" * 10_000_000, b"x: y\r\n" * 1_000_000])
def test_headers_of_a_part_cannot_either(small: object, junk: bytes) -> None:
    pieces = [b"--b\r\n", *(junk[at : at + 10_000] for at in range(0, len(junk), 10_000))]
    answer = call(small, "POST", "/api/search", FORM, pieces)  # type: ignore[arg-type]
    assert answer.status in (400, 413) and answer.taken <= FIELDS_BYTES // 10_000 + 2


def test_many_small_fields_cannot_either(small: object) -> None:
    field = b'--b\r\nContent-Disposition: form-data; name="camera"\r\n\r\n1\r\n'
    answer = call(small, "POST", "/api/search", FORM, [field * 100] * 1000)  # type: ignore[arg-type]
    assert answer.status == 413 and answer.taken <= FIELDS_BYTES // len(field * 100) + 2


def test_two_pictures(client: httpx.Client) -> None:
    answer = client.post("/api/search", files=[("picture", jpeg()), ("picture", jpeg())])
    assert answer.status_code == 400 and "several pictures" in answer.json()["error"]


def test_nothing_is_written(client: httpx.Client, monkeypatch: pytest.MonkeyPatch, gallery: Gallery) -> None:
    def no_file(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, no_file)
    before = files_below(gallery.root.parent)
    noise = np.random.default_rng(0).integers(0, 255, (1200, 800, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format="BMP")  # 2.9 MB: form parsers keep no more than 1 MB in memory
    assert client.post("/api/search", files={"picture": file.getvalue()}).status_code == 200
    assert files_below(gallery.root.parent) == before


def files_below(folder: Path) -> set[str]:
    return {os.path.join(root, name) for root, _, names in os.walk(folder) for name in names}
