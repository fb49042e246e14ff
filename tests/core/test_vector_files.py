"""Vectors and items on disk: readable by others, the same bytes however they came, any name kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from reidclip.gallery.items import Item, read_items, write_items
from reidclip.gallery.model import VectorModel
from reidclip.gallery.vectors import VECTORS_FILE, VectorSet, write_vector_blocks, write_vectors

MODEL = VectorModel("cal@v1", "w", "c", 6, "similarity")


def items(count: int) -> tuple[Item, ...]:
    return tuple(Item(f"{number}.jpg") for number in range(count))


def test_the_official_reader_gets_the_same_numbers_however_they_were_cut(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors, clothes = rng.normal(size=(11, 6)).astype(np.float32), rng.normal(size=(11, 3)).astype(np.float32)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    write_vectors(whole, VectorSet(vectors, items(11), MODEL, tmp_path, clothes))
    pieces = [(vectors[a:b], clothes[a:b]) for a, b in ((0, 4), (4, 4), (4, 5), (5, 11))]
    write_vector_blocks(cut, pieces, items(11), MODEL, tmp_path, 3)
    assert (whole / VECTORS_FILE).read_bytes() == (cut / VECTORS_FILE).read_bytes()
    found = load_file(cut / VECTORS_FILE)
    assert sorted(found) == ["clothes", "vectors"]
    np.testing.assert_array_equal(found["vectors"], vectors)
    np.testing.assert_array_equal(found["clothes"], clothes)


@pytest.mark.parametrize(("rows", "width"), [(10, 6), (12, 6), (11, 5)])
def test_rows_that_do_not_fit_the_items_are_refused(tmp_path: Path, rows: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"11|6"):
        write_vector_blocks(tmp_path, [(np.zeros((rows, width), np.float32), None)], items(11), MODEL, tmp_path)


# Any name that a file may have: all but "/" (which parts folders) and NUL, and bytes that are no text.
names = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1).map(lambda name: name + "\udcff")
number = st.integers(-1, 2**40)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            Item,
            path=names,
            frame=number,
            box=st.none() | st.tuples(number, number, number, number),
            track=number,
            time=st.none() | st.floats(allow_nan=False, allow_infinity=False),
            pid=number,
            camid=number,
            clothes_id=number,
            domain=st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
        ),
        max_size=4,
    )
)
def test_items_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, found: list[Item]) -> None:
    path = tmp_path_factory.getbasetemp() / "items.csv"
    write_items(path, found)
    assert read_items(path) == found
