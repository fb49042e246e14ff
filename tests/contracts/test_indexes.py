"""What every kind of gallery index must do, run over the registry: exact search gives what sorting all distances gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from reidclip import registry
from reidclip.errors import WorkError
from reidclip.interfaces import GalleryIndex
from reidclip.settings import Settings

GROUP = "reidclip.indexes"
NAMES = [info.name for info in registry.all_infos(GROUP) if info.object is not None]
WIDTH, COUNT, TOP = 16, 120, 7
Measure = Literal["similarity", "distance"]


def vectors(measure: Measure, count: int = COUNT, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True) if measure == "similarity" else drawn


def sorted_all(
    queries: np.ndarray, gallery: np.ndarray, measure: Measure, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows of the nearest, by a plain double loop."""
    far = np.array(
        [[1 - float(np.dot(q, g)) if measure == "similarity" else float(np.linalg.norm(q - g)) for g in gallery] for q in queries]
    )
    if allowed is not None:
        far[:, ~allowed] = np.inf
    rows = np.argsort(far, axis=1, kind="stable")[:, :TOP]
    return np.take_along_axis(far, rows, 1), rows


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest) -> GalleryIndex:
    found: GalleryIndex = registry.get(GROUP, request.param)
    assert found.name == request.param
    return found


@pytest.fixture(params=["similarity", "distance"])
def measure(request: pytest.FixtureRequest) -> Measure:
    found: Measure = request.param
    return found


class Shelf:
    """Versions of one index, in folders as a store has them."""

    def __init__(self, backend: GalleryIndex, root: Path, measure: Measure) -> None:
        self.backend, self.root, self.measure, self.versions = backend, root, measure, 0

    def folder(self) -> Path:
        self.versions += 1
        made = self.root / "index" / "gate" / f"v{self.versions:04d}" / "backend"
        made.mkdir(parents=True)
        return made

    def build(self, gallery: np.ndarray, settings: Settings | None = None) -> Path:
        chosen = settings or self.backend.settings()
        if hasattr(self.backend, "placed"):
            chosen = self.backend.placed(chosen, self.root, "gate")
        place = self.folder()
        self.backend.build(self.blocks(gallery), WIDTH, self.measure, chosen, place)
        return place

    def extend(self, old: Path, more: np.ndarray, removed: tuple[int, ...]) -> Path:
        place = self.folder()
        self.backend.extend(old, self.blocks(more), np.array(removed, dtype=np.int64), place)
        return place

    @staticmethod
    def blocks(gallery: np.ndarray) -> Iterator[np.ndarray]:
        yield from (gallery[start : start + 50] for start in range(0, len(gallery), 50))


@pytest.fixture
def shelf(backend: GalleryIndex, tmp_path: Path, measure: Measure) -> Shelf:
    return Shelf(backend, tmp_path, measure)


def test_fulfils_the_protocol(backend: GalleryIndex) -> None:
    assert isinstance(backend, GalleryIndex)
    assert backend.title and issubclass(backend.settings, Settings)
    assert all(field.description for field in backend.settings.model_fields.values())


def test_exact_search_with_and_without_a_mask(shelf: Shelf, measure: Measure) -> None:
    gallery, queries = vectors(measure), vectors(measure, 5, seed=1)
    drawn = np.random.default_rng(2).random(COUNT)
    with closing(shelf.backend.open(shelf.build(gallery))) as session:
        for allowed in (None, drawn < 0.3, drawn < 0.8, np.arange(COUNT) < 40):
            distances, rows = session.search(queries, TOP, allowed)
            truth, right = sorted_all(queries, gallery, measure, allowed)
            assert np.array_equal(rows, right)
            assert np.allclose(distances, truth, atol=1e-6)
        assert np.array_equal(session.vectors(np.array([7, 3, 3])), gallery[[7, 3, 3]])
        assert session.search(gallery[4:5], 1)[0][0, 0] == pytest.approx(0, abs=1e-7)


def test_what_is_equally_near_comes_by_row(shelf: Shelf, measure: Measure) -> None:
    """Frames that are all alike, scattered over the gallery."""
    gallery, drawn = vectors(measure), np.random.default_rng(4).permutation(COUNT)
    gallery[drawn[:12]], gallery[drawn[12:24]] = gallery[drawn[0]], gallery[drawn[12]]
    with closing(shelf.backend.open(shelf.build(gallery))) as session:
        _, rows = session.search(gallery[drawn[[0, 12]]], TOP)
        assert rows.tolist() == [sorted(drawn[:12])[:TOP], sorted(drawn[12:24])[:TOP]]


def test_fewer_than_asked_for(shelf: Shelf, measure: Measure) -> None:
    gallery = vectors(measure, 4)
    with closing(shelf.backend.open(shelf.build(gallery))) as session:
        _, rows = session.search(gallery[:1], TOP)
        assert sorted(rows[0][:4]) == [0, 1, 2, 3] and (rows[0][4:] == -1).all()
        distances, rows = session.search(gallery[:1], TOP, np.zeros(4, dtype=bool))
        assert (rows == -1).all() and np.isinf(distances).all()


def test_a_change_is_a_new_version_and_the_old_one_answers_as_before(shelf: Shelf, measure: Measure) -> None:
    gallery, more, queries = vectors(measure), vectors(measure, 30, seed=3), vectors(measure, 5, seed=1)
    first = shelf.build(gallery)
    second = shelf.extend(first, more, (0, 7, 119))
    third = shelf.extend(second, more[:0], (1, 117))
    changed = np.concatenate([np.delete(gallery, [0, 7, 119], axis=0), more])
    for place, holds in ((first, gallery), (second, changed), (third, np.delete(changed, [1, 117], axis=0))):
        with closing(shelf.backend.open(place)) as session:
            assert np.array_equal(session.search(queries, TOP)[1], sorted_all(queries, holds, measure)[1])


def test_files_of_another_index_are_refused(shelf: Shelf) -> None:
    place = shelf.folder()
    (place / "stray.txt").write_text("no index\n")
    with pytest.raises(WorkError, match="index") as told:
        shelf.backend.open(place)
    assert told.value.remedy
