"""Meshes as files that every viewer opens: PLY (binary, little endian) and OBJ (text). Written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidclip.artifacts.durable import disk_full, is_disk_full, write_durable
from reidclip.errors import UserError, WorkError

FORMATS = ("ply", "obj")
_HEADER = """ply
format binary_little_endian 1.0
comment metres; x to the person's left, y backwards, z up
element vertex {vertices}
property float x
property float y
property float z
element face {faces}
property list uchar int vertex_indices
end_header
"""
_FACE = np.dtype([("corners", "u1"), ("rows", "<i4", (3,))])


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: (V, 3) float32 metres.
        faces: (F, 3) int64.
    """

    vertices: np.ndarray
    faces: np.ndarray


def write_mesh(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write a mesh in the format of the file's ending, in place of a file that is there.

    Args:
        path: ends in .ply or .obj; missing folders are made.
        vertices: (V, 3) metres; written as float32 (PLY) or to a micrometre (OBJ).
        faces: (F, 3) triangles.

    Raises:
        UserError: another ending. WorkError: the disk is full. OSError: the folder cannot be written.
    """
    data = _encoder(path)(np.asarray(vertices, np.float32), np.asarray(faces, np.int64))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durable(part, data)
        os.replace(part, path)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(path.parent) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def read_mesh(path: Path) -> Mesh:
    """Read a mesh that `write_mesh` wrote.

    Raises:
        UserError: another ending, or no such file. WorkError: the file is broken, or has more than three corners, normals, colours.
    """
    _encoder(path)
    if not path.is_file():
        raise UserError(f"There is no mesh file {path}.", "Check the path.")
    data = path.read_bytes()
    try:
        mesh = _from_ply(data) if path.suffix.lower() == ".ply" else _from_obj(data)
        if mesh.faces.size and not 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices):
            raise ValueError("a face names a vertex that is not there")
    except ValueError as error:
        raise WorkError(f"{path} is not a triangle mesh as reidclip writes them: {error}.", "Export it again.") from error
    return mesh


def _encoder(path: Path) -> Callable[[np.ndarray, np.ndarray], bytes]:
    encoders = {".ply": _to_ply, ".obj": _to_obj}
    if path.suffix.lower() not in encoders:
        raise UserError(f"{path} does not end in .ply or .obj, the mesh formats there are.", "Give it one of these endings.")
    return encoders[path.suffix.lower()]


def _to_ply(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    rows = np.empty(len(faces), _FACE)
    rows["corners"], rows["rows"] = 3, faces
    header = _HEADER.format(vertices=len(vertices), faces=len(faces)).encode("ascii")
    return header + vertices.astype("<f4").tobytes() + rows.tobytes()


def _from_ply(data: bytes) -> Mesh:
    head, mark, body = data.partition(b"end_header\n")
    counts = [int(line.split()[2]) for line in head.split(b"\n") if line.startswith(b"element ") and len(line.split()) == 3]
    if len(counts) != 2 or head + mark != _HEADER.format(vertices=counts[0], faces=counts[1]).encode("ascii"):
        raise ValueError("its header is another")
    split = 12 * counts[0]
    if len(body) != split + _FACE.itemsize * counts[1]:
        raise ValueError("it is cut off or too long")
    rows = np.frombuffer(body[split:], _FACE)
    if not (rows["corners"] == 3).all():
        raise ValueError("a face has other than three corners")
    return Mesh(np.frombuffer(body[:split], "<f4").reshape(-1, 3).astype(np.float32), rows["rows"].astype(np.int64))


def _to_obj(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    lines = ["# metres; x to the person's left, y backwards, z up"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def _from_obj(data: bytes) -> Mesh:
    try:
        rows = [line.split() for line in data.decode("ascii").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError("it is not text") from error
    found: dict[str, list[list[str]]] = {"v": [], "f": []}
    for row in rows:
        if row and row[0] in found:
            if len(row) != 4:
                raise ValueError(f"the line '{' '.join(row)[:40]}' has not three numbers")
            found[row[0]].append(row[1:])
    vertices = np.array(found["v"], np.float32).reshape(-1, 3)
    return Mesh(vertices, np.array([[int(n) for n in row] for row in found["f"]], np.int64).reshape(-1, 3) - 1)
