"""Vectors of pictures as ``reidclip extract`` writes them and ``reidclip index`` reads them: artifact kind ``vectors``.

``vectors.safetensors`` holds "vectors" (N, D) float32 and, where clothes were described, "clothes" (N, C) float32; ``items.csv`` one row
per vector in the same order; ``vectors.json`` the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from reidclip.artifacts.artifact import Artifact
from reidclip.errors import WorkError
from reidclip.gallery.items import ITEMS_FILE, Item, read_items, write_items
from reidclip.gallery.model import VectorModel

VECTORS_FILE, ABOUT_FILE = "vectors.safetensors", "vectors.json"


@dataclass(frozen=True)
class VectorSet:
    """N vectors and what they are of.

    Attributes:
        vectors: (N, D) float32; of unit length where ``model.measure`` is "similarity".
        items: N, in the order of the rows.
        model: what made them.
        root: the folder that the items' paths are relative to, as it was given.
        clothes: (N, C) float32 descriptors of clothes (`reidclip.gallery.clothes`), or None.
    """

    vectors: np.ndarray
    items: tuple[Item, ...]
    model: VectorModel
    root: Path
    clothes: np.ndarray | None = None


def write_vectors(folder: Path, found: VectorSet) -> None:
    """The payload of a ``vectors`` artifact, into an existing folder."""
    clothes_width = None if found.clothes is None else found.clothes.shape[1]
    blocks = [(found.vectors, found.clothes)]
    write_vector_blocks(folder, blocks, found.items, found.model, found.root, clothes_width)


def write_vector_blocks(
    folder: Path,
    blocks: Iterable[tuple[np.ndarray, np.ndarray | None]],
    items: Sequence[Item],
    model: VectorModel,
    root: Path,
    clothes_width: int | None = None,
) -> None:
    """As `write_vectors`, of vectors that come piece by piece: only one piece has to be in memory. The same bytes for any pieces.

    Args:
        blocks: (n, D) float32 vectors and, with ``clothes_width``, (n, C) descriptors; as many rows together as there are items.

    Raises:
        ValueError: another number of rows, or of another width.
    """
    # A safetensors file is 8 bytes of the header's length, the header as JSON, and the numbers: https://github.com/huggingface/safetensors
    widths = {"vectors": model.width} if clothes_width is None else {"vectors": model.width, "clothes": clothes_width}
    header, places, end = {}, {}, 0
    for name, width in widths.items():
        begin, end = end, end + 4 * len(items) * width
        header[name] = {"dtype": "F32", "shape": [len(items), width], "data_offsets": [begin, end]}
        places[name] = begin
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with (folder / VECTORS_FILE).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        start = file.tell()
        rows = 0
        for block in blocks:
            for (name, width), part in zip(widths.items(), block, strict=False):
                if part is None or part.shape != (len(block[0]), width):
                    raise ValueError(f"a block of {name} is {None if part is None else part.shape}, not ({len(block[0])}, {width})")
                file.seek(start + places[name] + 4 * rows * width)
                file.write(np.ascontiguousarray(part, dtype="<f4").tobytes())
            rows += len(block[0])
        if rows != len(items):
            raise ValueError(f"{len(items)} items, but {rows} vectors")
    write_items(folder / ITEMS_FILE, items)
    about = {"format": 1, "model": model.to_json(), "root": str(root)}
    (folder / ABOUT_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_vectors(artifact: Artifact) -> VectorSet:
    """What `write_vectors` wrote, digests verified.

    Raises:
        WorkError: a file is missing, changed or does not fit the others.
    """
    files = {name: artifact.file(name) for name in (VECTORS_FILE, ITEMS_FILE, ABOUT_FILE)}
    remedy = "Extract the vectors again."
    try:
        about = json.loads(files[ABOUT_FILE].read_text(encoding="utf-8"))
        model = VectorModel.from_json(about["model"])
        tensors = load_file(files[VECTORS_FILE])
        vectors = tensors["vectors"]
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise WorkError(f"{artifact.path} holds no vectors of this version: {error}.", remedy) from error
    items = tuple(read_items(files[ITEMS_FILE]))
    if vectors.shape != (len(items), model.width):
        raise WorkError(f"{artifact.path}: {len(items)} items of {model.width} numbers, but vectors {vectors.shape}.", remedy)
    return VectorSet(vectors, items, model, Path(about["root"]), tensors.get("clothes"))
