"""Vectors and gallery indexes, in order and at fault."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from reidclip.artifacts.store import Store
from reidclip.gallery.items import Item
from reidclip.gallery.model import VectorModel
from reidclip.gallery.vectors import VectorSet, write_vectors
from reidclip.stages.index_build import build, plan_build
from tests.cli.error_inputs.place import Place

WIDTH = 8


def vectors(place: Place, argument: str) -> None:
    """``vectors:NAME``: three unit vectors of the pictures in ``data``; NAME "wide" and "other" are of other models, "none" is empty."""
    width, count = (WIDTH + 4 if argument == "wide" else WIDTH), (0 if argument == "none" else 3)
    drawn = np.eye(width, dtype=np.float32)[:count]
    model = VectorModel("c@v1", "other" if argument == "other" else "m", "config", width, "similarity")
    items = tuple(Item(f"a/{i}.jpg", camid=i) for i in range(count))
    with Store(place.store).create("vectors", argument or "v") as draft:
        write_vectors(draft.path, VectorSet(drawn, items, model, place.data))


def index(place: Place, argument: str) -> None:
    """Artifact index/v@v1 by faiss, or the backend named, over those vectors."""
    vectors(place, "")
    build(plan_build(["v"], Store(place.store), backend=argument or "faiss"))


def package_absent(place: Place, argument: str) -> None:
    """``package_absent:NAME``: importing it fails as if it were not installed."""
    place.patch.setitem(sys.modules, argument, None)


def database_gone(place: Place, argument: str) -> Path:
    """The database of index/v was deleted."""
    told = json.loads((place.store / "index/v/v0001/backend/milvus.json").read_text(encoding="utf-8"))
    path = (place.store / "index/v" / told["uri"]).resolve()
    shutil.rmtree(path)
    return path


BUILDERS = (vectors, index, package_absent, database_gone)
