"""No file but the gallery's own is read, whatever a client asks for and whatever an index says."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from reidclip.data.images import write_picture_png
from reidclip.gallery.crops import picture_of
from reidclip.gallery.gallery import Gallery
from reidclip.gallery.items import Item
from reidclip.serve import thumbnails
from reidclip.stages.serve import make_app
from tests.serve.directly import call
from tests.serve.small_gallery import elsewhere, picture

PATHS = (
    "../secret.png",
    "people/../../secret.png",
    "link_out.png",
    "folder_out/secret.png",
    "loop.png",
    "people",
    "pipe.png",
    "nul\0.png",
    "",
    ".",
    "broken.png",
    "gone.png",
)


@pytest.fixture(scope="module")
def led_astray(gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """The gallery with paths that lead out of its folder; they lead to a picture that could be shown."""
    outside = tmp_path_factory.mktemp("outside")
    write_picture_png(outside / "secret.png", picture(99))
    root = gallery.root
    made = [root / name for name in ("link_out.png", "folder_out", "loop.png", "pipe.png", "broken.png", "link_in.png")]
    made[0].symlink_to(outside / "secret.png")
    made[1].symlink_to(outside)
    made[2].symlink_to("loop.png")
    os.mkfifo(made[3])
    made[4].write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    made[5].symlink_to("people/05.png")
    write_picture_png(root.parent / "secret.png", picture(99))
    there = elsewhere(gallery.items, *PATHS, str(outside / "secret.png"), "link_in.png")
    yield Gallery(gallery.store, gallery.artifact, gallery.about, there, gallery._session)
    for path in (*made, root.parent / "secret.png"):
        path.unlink()


@pytest.mark.parametrize("row", range(len(PATHS) + 1))
def test_an_index_leads_nowhere_else(led_astray: Gallery, row: int) -> None:
    answer = call(make_app(led_astray), "GET", f"/api/items/{row}/thumbnail")
    assert answer.status == 404, PATHS[row]
    assert set(answer.json) == {"error", "remedy"}
    assert str(led_astray.root.parent) not in answer.body.decode()


def test_a_link_within_the_folder_is_followed(led_astray: Gallery) -> None:
    assert call(make_app(led_astray), "GET", f"/api/items/{len(PATHS) + 1}/thumbnail").headers["content-type"] == "image/jpeg"


def test_crops_of_a_video_are_cut_out_of_their_frame(gallery: Gallery) -> None:
    path = gallery.root / "hall.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(4):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[8:40, 16:32] = (0, 0, 60 * number)  # blue, green, red
        writer.write(frame)
    writer.release()
    there = (Item("hall.avi", frame=3, box=(16, 8, 16, 32)), Item("hall.avi", frame=9), *gallery.items[2:])
    app = make_app(Gallery(gallery.store, gallery.artifact, gallery.about, there, gallery._session))
    shown = np.asarray(Image.open(io.BytesIO(call(app, "GET", "/api/items/0/thumbnail").body)), dtype=int)
    assert shown.shape == (32, 16, 3) and np.abs(shown[8:24, 4:12] - (180, 0, 0)).max() < 25
    assert call(app, "GET", "/api/items/1/thumbnail").status == 404
    path.unlink()


@pytest.mark.parametrize(
    "path",
    [
        "/api/items/../../../../etc/passwd/thumbnail",
        "/api/items/%2e%2e%2f%2e%2e%2fetc%2fpasswd/thumbnail",
        "/api/items/..%252f..%252fetc%252fpasswd/thumbnail",
        "/api/items//etc/passwd/thumbnail",
        "/api/items/people%2F03.png/thumbnail",
        "/api/items/0%00/thumbnail",
        "/api/items/-1/thumbnail",
        "/api/items/20/thumbnail",
        "/api/items/1e3/thumbnail",
        "/api/items/99999999999999999999999999/thumbnail",
        "/assets/../app.py",
        "/assets/..%2fapp.py",
        "/assets/%2e%2e/settings.py",
        "/assets//etc/passwd",
        "/assets/page.js%00.html",
        "//etc/passwd",
        "/../../etc/passwd",
        "/..\\..\\windows\\win.ini",
    ],
)
def test_addresses_lead_nowhere_else(address: str, path: str) -> None:
    """Sent byte by byte: clients would tidy them up."""
    with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port)) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.split(b" ", 2)[1] in (b"404", b"400"), answer
    assert b"root:" not in answer and b"import" not in answer


@pytest.mark.parametrize("key", ["../secret.png", "/etc/passwd", "people/../people/03.png", "people/03.png\0", "file:///etc/passwd"])
def test_keys_are_names_not_paths(client: httpx.Client, key: str, gallery: Gallery) -> None:
    answer = client.post("/api/search", files={"item": (None, key)})
    assert answer.status_code == 400 and str(Path(gallery.root)) not in answer.text


def test_thumbnails_are_kept_within_bounds(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [len(thumbnails.Thumbnails(gallery).of(row)) for row in range(3)]
    made: list[str] = []

    def counted(root: Path, item: Item) -> np.ndarray:
        made.append(item.path)
        return picture_of(root, item)

    monkeypatch.setattr(thumbnails, "picture_of", counted)
    monkeypatch.setattr(thumbnails, "KEPT_BYTES", sum(sizes) - 1)  # all but one
    kept = thumbnails.Thumbnails(gallery)
    for row in (0, 1, 0, 2, 0, 2, 1):  # 2 takes the place of 1, which nobody has asked for again
        kept.of(row)
    assert made == ["00.png", "01.png", "02.png", "01.png"]
