"""A gallery of twenty pictures on disk, with the tiny encoder that made its vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.images import read_picture, write_picture_png
from reidclip.gallery.about import BACKEND, ClothesGroups, IndexAbout
from reidclip.gallery.embed import embed_pictures
from reidclip.gallery.faiss_index import INDEX, FaissSettings
from reidclip.gallery.items import ITEMS_FILE, Item, write_items
from reidclip.gallery.model import VectorModel
from tests.tiny_clip import tiny_clip

NASTY = "people/<img src=x onerror=alert(1)> & 'q'.png"  # a name that is markup where it is not escaped
CLOCK = 1_714_560_000.0  # 2024-05-01 10:40:00 UTC


def picture(number: int) -> np.ndarray:
    """(48, 24, 3) uint8: coarse colours of a person's own, so that pictures lie apart."""
    rng = np.random.default_rng(number)
    return np.kron(rng.integers(0, 255, (6, 3, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def items(count: int = 20) -> tuple[Item, ...]:
    """Cameras 1 to 4, outfits 0 to 4, two data sets, a minute apart; the last one has a nasty name and nothing known."""
    known = [
        Item(f"people/{i:02d}.png", time=CLOCK + 60 * i, pid=i // 2, camid=1 + i % 4, clothes_id=i % 5, domain=("gate", "hall")[i % 2])
        for i in range(count - 1)
    ]
    return (*known, Item(NASTY))


def encoder(seed: int = 0) -> InferenceEncoder:
    """Random weights, the same every time."""
    return InferenceEncoder(tiny_clip(seed=seed).image_encoder).eval()


def write_gallery(root: Path) -> tuple[Store, Artifact]:
    """Pictures below ``root / "data"``, and ``checkpoint/tiny@v1`` and ``index/gate@v1`` in the store ``root / "artifacts"``."""
    data, store, made, there = root / "data", Store(root / "artifacts"), encoder(), items()
    (data / "people").mkdir(parents=True)
    for number, item in enumerate(there):
        write_picture_png(data / item.path, picture(number))
    with store.create("checkpoint", "tiny") as draft:
        made.save(draft.path)
    vectors = embed_pictures(made, [read_picture(data / item.path) for item in there])
    model = VectorModel.of(draft.artifact.ref, made)
    about = IndexAbout("faiss", {}, len(there), model, data, ClothesGroups("labels", 5))
    with store.create("index", "gate") as index:
        (index.path / BACKEND).mkdir()
        INDEX.build(iter([vectors]), model.width, model.measure, FaissSettings(), index.path / BACKEND)
        write_items(index.path / ITEMS_FILE, there)
        about.write(index.path)
    return store, index.artifact


def elsewhere(there: tuple[Item, ...], *paths: str) -> tuple[Item, ...]:
    """The items, the first of them with other paths: an index that somebody made to read what it should not."""
    return (*(replace(item, path=path) for item, path in zip(there, paths)), *there[len(paths) :])  # noqa: B905
