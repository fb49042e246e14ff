"""Meshes as PLY and OBJ files."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidclip.bodies.mesh_files import FORMATS, read_mesh, write_mesh
from reidclip.errors import UserError, WorkError

CORNERS = np.array([[0, 0, 0], [1.5, 0, 0], [0, -0.25, 2]], np.float32)
ONE = np.array([[0, 2, 1]])


def test_ply_by_its_bytes(tmp_path: Path) -> None:
    write_mesh(tmp_path / "one.ply", CORNERS, ONE)
    head, body = (tmp_path / "one.ply").read_bytes().split(b"end_header\n")
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert [line for line in lines if line.startswith("element")] == ["element vertex 3", "element face 1"]
    assert lines[-1] == "property list uchar int vertex_indices"
    assert body == struct.pack("<9f", *CORNERS.ravel().tolist()) + struct.pack("<B3i", 3, 0, 2, 1)


def test_obj_by_its_lines(tmp_path: Path) -> None:
    write_mesh(tmp_path / "one.obj", CORNERS, ONE)
    lines = [line for line in (tmp_path / "one.obj").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["v 0.000000 0.000000 0.000000", "v 1.500000 0.000000 0.000000", "v 0.000000 -0.250000 2.000000", "f 1 3 2"]


@given(arrays(np.float32, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(-3, 3, width=32)), st.data())
@settings(max_examples=25, deadline=None)
def test_read_as_written(tmp_path_factory: pytest.TempPathFactory, vertices: np.ndarray, data: st.DataObject) -> None:
    faces = data.draw(arrays(np.int64, st.tuples(st.integers(0, 9), st.just(3)), elements=st.integers(0, len(vertices) - 1)))
    folder = tmp_path_factory.getbasetemp()
    for ending, near in (("ply", 0), ("obj", 6e-7)):
        write_mesh(folder / f"mesh.{ending}", vertices, faces)
        mesh = read_mesh(folder / f"mesh.{ending}")
        np.testing.assert_allclose(mesh.vertices, vertices, atol=near, rtol=0)
        assert np.array_equal(mesh.faces, faces) and mesh.faces.dtype == np.int64 and mesh.vertices.dtype == np.float32


def test_replaces_a_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mesh.PLY"
    write_mesh(path, CORNERS, ONE)
    write_mesh(path, 2 * CORNERS, ONE)
    assert np.array_equal(read_mesh(path).vertices, 2 * CORNERS)
    assert os.listdir(path.parent) == ["mesh.PLY"]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = tmp_path / f"mesh.{ending}"
    write_mesh(path, CORNERS, ONE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError, match=f"The disk is full: writing to {tmp_path}"):
        write_mesh(path, 2 * CORNERS, ONE)
    assert np.array_equal(read_mesh(path).vertices, CORNERS) and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["mesh.stl", "mesh"])
def test_other_endings(tmp_path: Path, name: str) -> None:
    for call in (lambda: write_mesh(tmp_path / name, CORNERS, ONE), lambda: read_mesh(tmp_path / name)):
        with pytest.raises(UserError, match=r"does not end in \.ply or \.obj"):
            call()
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no mesh file .*gone\.ply"):
        read_mesh(tmp_path / "gone.ply")


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("m.ply", lambda data: data[:-1], "cut off or too long"),
        ("m.ply", lambda data: data + b"\x00", "cut off or too long"),
        ("m.ply", lambda data: data.replace(b"little", b"big"), "its header is another"),
        ("m.ply", lambda data: data.replace(b"vertex 3", b"vertex x"), "invalid literal"),
        ("m.ply", lambda data: data[:-13] + b"\x04" + data[-12:], "other than three corners"),
        ("m.ply", lambda data: data[:-4] + b"\x03\x00\x00\x00", "a face names a vertex that is not there"),
        ("m.obj", lambda data: data.replace(b"f 1 3 2", b"f 0 3 2"), "a face names a vertex that is not there"),
        ("m.obj", lambda data: data.replace(b"f 1 3 2", b"f 1/1 3/1 2/1"), "invalid literal"),
        ("m.obj", lambda data: data.replace(b"f 1 3 2", b"f 1 3 2 1"), "has not three numbers"),
        ("m.obj", lambda data: data.replace(b"v 1.5", b"v one"), "could not convert"),
        ("m.obj", lambda data: b"\xff" + data, "it is not text"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, spoil: object, says: str) -> None:
    path = tmp_path / name
    write_mesh(path, CORNERS, ONE)
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(WorkError, match=rf"{name} is not a triangle mesh .*{says}"):
        read_mesh(path)
