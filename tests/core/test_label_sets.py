"""Label sets against the published parsers' own lists, what is clothes in them, and how label maps find their pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidclip.data.label_sets import ATR, LABEL_SETS, LIP, PASCAL, SCNET, LabelSet, choose_clothes, label_set_of, named_set, palette
from reidclip.data.lip import LIP_PALETTE
from reidclip.data.map_names import Naming, files_below, match
from reidclip.data.shielding import colour_of
from reidclip.errors import UserError

PUBLISHED = json.loads((Path(__file__).parents[1] / "parity/data/schp_keys.json").read_text())


@pytest.mark.parametrize("name", ["lip", "atr", "pascal"])
def test_labels_and_colours_are_the_authors(name: str) -> None:
    known = LABEL_SETS[name]
    assert list(known.labels) == PUBLISHED[name]["labels"]
    assert [list(colour) for colour in known.palette] == PUBLISHED[name]["palette_rgb"]


def test_palette_begins_like_lips() -> None:
    assert palette(20) == LIP_PALETTE == LIP.palette
    assert len(set(palette(256))) == 256


@pytest.mark.parametrize("label_set", LABEL_SETS.values(), ids=LABEL_SETS)
def test_tables(label_set: object) -> None:
    assert isinstance(label_set, type(LIP))
    clothes = choose_clothes(label_set)
    assert clothes.names == label_set.clothes and clothes.indices == tuple(sorted(clothes.indices))
    assert {label_set.labels[i] for i in clothes.indices} == set(label_set.clothes)
    # CCAF, section 3: hats and shoes stay visible, and of course hair, face and the background.
    kept = [name.lower() for _, name, worn in label_set.table() if not worn]
    assert not [name for name in (c.lower() for c in label_set.clothes) if any(w in name for w in ("hat", "shoe", "hair", "face", "head"))]
    assert kept[0] == "background"


@pytest.mark.parametrize(
    ("label_set", "indices"),
    [
        (LIP, (3, 5, 6, 7, 8, 9, 10, 11, 12)),  # CCAF, section 3, by the numbers of LIP's labels
        (ATR, (4, 5, 6, 7, 8, 17)),
        (PASCAL, (2, 3, 5, 6)),
        (SCNET, (2, 3, 4, 5, 6, 11)),
    ],
    ids=["lip", "atr", "pascal", "scnet"],
)
def test_what_is_clothes_by_default(label_set: LabelSet, indices: tuple[int, ...]) -> None:
    assert choose_clothes(label_set).indices == indices


def test_scnets_labels_are_atrs_merged() -> None:
    """By the numbers that its parsing/simple_extractor.py assigns: each ATR label, and what it becomes."""
    merged = (0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 7, 1, 8, 8, 9, 9, 10, 11)
    names = {"Hat": "Head", "Hair": "Head", "Sunglasses": "Head", "Face": "Head"}
    for label, number in zip(ATR.labels, merged, strict=True):
        plain = names.get(label, label.removeprefix("Left-").removeprefix("Right-"))
        assert SCNET.labels[number].lower().rstrip("s") == plain.lower().rstrip("s")
    assert len(SCNET.labels) == 12 and len(PASCAL.labels) == 7


def test_known_by_its_labels() -> None:
    assert label_set_of(ATR.labels) is ATR and label_set_of(ATR.labels[:-1]) is None
    assert named_set(LIP.labels, "x") is LIP
    own = named_set(["a", "b"], "x")
    assert (own.name, own.labels, own.clothes) == ("x", ("a", "b"), ())


def test_clothes_are_found_in_any_case_and_once() -> None:
    found = choose_clothes(ATR, ["scarf", "SKIRT", "Scarf"])
    assert found.names == ("Scarf", "Skirt") and found.indices == (5, 17)
    with pytest.raises(UserError, match="'scraf'") as caught:
        choose_clothes(ATR, ["scraf"])
    assert "Did you mean 'Scarf'?" in caught.value.remedy


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_colours_read_back(colour: list[int]) -> None:
    assert colour_of(colour) == tuple(colour) == colour_of(",".join(map(str, colour)))


# ------------------------------------------------------------------------------------------------------------------- names
PATHS = ("rgb/train/1/a.jpg", "rgb/train/2/a.jpg", "rgb/train/2/b.jpg", "rgb/test/A/1/a.jpg")


@pytest.mark.parametrize(
    ("naming", "covered"),
    [
        (Naming(0), 4),
        (Naming(1), 4),
        (Naming(-3), 4),
        (Naming(-2), 3),  # 1/a is two pictures by their last folder, but one without the first two
        (Naming(-1), 1),  # a is three
        (Naming(0, "_parsing"), 4),
        (Naming(1, "", ".npy"), 4),
        (Naming(0, "", ".png", True), 4),
    ],
    ids=str,
)
def test_namings_are_found(naming: Naming, covered: int) -> None:
    files = frozenset(naming.of(path) for path in PATHS)
    found, names = match(PATHS, files)
    assert len(names) == covered and set(names.values()) <= files
    assert all(names[path] == found.of(path) == naming.of(path) for path in names)


def test_the_whole_path_wins_and_no_map_serves_two() -> None:
    files = frozenset({"x/a.png", "y/a.png", "a.png", "x/a_vis.png"})
    assert match(["x/a.jpg", "y/a.jpg"], files) == (Naming(0), {"x/a.jpg": "x/a.png", "y/a.jpg": "y/a.png"})
    assert match(["x/a.jpg", "y/a.jpg"], frozenset({"a.png"}))[1] == {}
    assert match(["x/a.jpg"], frozenset({"x/a_vis.png"}))[1] == {}
    assert match([], frozenset())[1] == {}


def test_files_below_leave_out_what_is_hidden_or_no_map(tmp_path: Path) -> None:
    for name in ("a.png", "b/c.npy", "b/d.jpg", ".x.png", "__MACOSX/a.png", "b/._c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert files_below(tmp_path) == {"a.png", "b/c.npy"}


@given(st.sets(st.tuples(*[st.sampled_from("xyz")] * 3), min_size=1), st.integers(-3, 2))
def test_every_map_found_is_its_pictures_own(parts: set[tuple[str, ...]], start: int) -> None:
    paths = sorted("/".join(p) + ".jpg" for p in parts)
    found, names = match(paths, frozenset(Naming(start).of(path) for path in paths))
    assert len(set(names.values())) == len(names)
    assert all(name == found.of(path) for path, name in names.items())
    if start in (-3, 0):
        assert set(names) == set(paths)
