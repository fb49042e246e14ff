"""Vectors of pictures as ``reidclip extract`` writes them and ``reidclip index`` reads them: artifact kind ``vectors``.

``vectors.safetensors`` holds "vectors" (N, D) float32 and, where clothes were described, "clothes" (N, C) float32; ``items.csv`` one row
per vector in the same order; ``vectors.json`` the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

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
    tensors = {"vectors": np.ascontiguousarray(found.vectors, dtype=np.float32)}
    if found.clothes is not None:
        tensors["clothes"] = np.ascontiguousarray(found.clothes, dtype=np.float32)
    save_file(tensors, folder / VECTORS_FILE)
    write_items(folder / ITEMS_FILE, found.items)
    about = {"format": 1, "model": found.model.to_json(), "root": str(found.root)}
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
