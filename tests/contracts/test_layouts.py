"""What every data layout must do, run over the registry; a small tree is known for each bundled one."""

from pathlib import Path

import pytest

from reidclip import registry
from reidclip.data.missing_protocols import notes_on_missing_protocols
from reidclip.data.open import GROUP, open_dataset, open_pictures
from reidclip.errors import UserError
from reidclip.interfaces import DataLayout
from reidclip.records import Dataset
from tests import cuhk03_tree, trees

NAMES = [info.name for info in registry.all_infos(GROUP) if info.object is not None]
TREES = {
    "prcc": trees.prcc,
    "ltcc": trees.ltcc,
    "vcclothes": trees.vcclothes,
    "market1501": trees.market1501,
    "msmt17": trees.msmt17,
    "deepchange": trees.deepchange,
    "last": trees.last,
    "ccvid": trees.ccvid,
    "celeb_reid": trees.celeb_reid,
    "ccda": trees.ccda,
    "cuhk02": trees.cuhk02,
    "cuhk03": cuhk03_tree.cuhk03,
    "cuhk_sysu": trees.cuhk_sysu,
    "prid": trees.prid,
    "grid": trees.grid,
    "viper": trees.viper,
    "ilids": trees.ilids,
    "folder": trees.folder,
}


@pytest.fixture(params=NAMES)
def layout(request: pytest.FixtureRequest) -> DataLayout:
    found: DataLayout = registry.get(GROUP, request.param)
    assert found.name == request.param
    return found


@pytest.fixture
def dataset(layout: DataLayout, tmp_path: Path) -> Dataset:
    if layout.name not in TREES:
        pytest.skip(f"no tree is known for {layout.name}")
    return layout.load(TREES[layout.name](tmp_path / "data"))


def test_bundled_layouts_are_registered() -> None:
    assert set(TREES) <= set(NAMES)


def test_fulfils_the_protocol(layout: DataLayout) -> None:
    assert isinstance(layout, DataLayout)
    assert layout.title and layout.expected_tree.strip()
    assert bool(layout.published) is bool(layout.source)  # people's own data have neither


def test_recognises_nothing_in_strange_places_and_never_raises(layout: DataLayout, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00\xff")
    (tmp_path / "empty").mkdir()
    for place in ("gone", "file", "empty"):
        assert layout.recognises(tmp_path / place) is False


def test_load_refuses_an_empty_folder(layout: DataLayout, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        layout.load(tmp_path)
    assert str(tmp_path) in caught.value.what and caught.value.remedy


def test_each_tree_is_recognised_by_its_layout_alone(layout: DataLayout, tmp_path: Path) -> None:
    for name, build in TREES.items():
        assert layout.recognises(build(tmp_path / name)) is (layout.name == name)


def test_a_table_beside_the_pictures_changes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    if dataset.layout == "folder":
        pytest.skip("there the table is the data set")
    rows = [(s.path, s.pid, s.camid, s.clothes_id, "train") for s in dataset.samples]
    (tmp_path / "data" / "predictions.csv").write_text(trees.table(rows), encoding="utf-8")
    assert open_dataset(tmp_path / "data") == dataset


def test_published_counts_are_unique_and_can_be_counted(layout: DataLayout, dataset: Dataset) -> None:
    assert len({row.what for row in layout.published}) == len(layout.published)
    for row in layout.published:
        assert row.value > 0 and row.status in ("C", "R", "T", "S", "G")
        pictures = sum(len(s.frames) or 1 for s in dataset.samples)
        assert 0 <= row.of(dataset) <= pictures + sum(dataset.left_out.values()), row.what


def test_samples_are_sound(dataset: Dataset) -> None:
    assert dataset.samples
    assert len({s.path for s in dataset.samples}) == len(dataset.samples)
    for sample in dataset.samples:
        assert dataset.absolute(sample).is_dir() if sample.frames else dataset.absolute(sample).is_file()
        assert all((dataset.root / frame).is_file() for frame in sample.frames) and sorted(sample.frames) == list(sample.frames)
        assert "\\" not in sample.path and not sample.path.startswith(("/", "."))
        assert sample.pid >= -1 and sample.camid >= 0 and sample.clothes_id >= -1 and sample.split


def test_samples_are_sorted_by_split_then_path(dataset: Dataset) -> None:
    order = list(dict.fromkeys(s.split for s in dataset.samples))
    assert list(dataset.samples) == sorted(dataset.samples, key=lambda s: (order.index(s.split), s.path))


def test_an_outfit_belongs_to_one_identity(dataset: Dataset) -> None:
    for half in (("train", "val"), tuple({s.split for s in dataset.samples} - {"train", "val"})):
        pairs = {(s.clothes_id, s.pid) for s in dataset.samples if s.split in half and s.clothes_id != -1}
        assert len({clothes for clothes, _ in pairs}) == len(pairs)


def test_protocols_are_sound(dataset: Dataset) -> None:
    assert len({p.name for p in dataset.protocols}) == len(dataset.protocols)
    missing = {"same-clothes", "cloth-changing"} - {p.name for p in dataset.protocols}
    if dataset.layout == "cuhk_sysu":
        missing.add("general")  # for training alone
    else:
        assert dataset.protocols
    reasons = " ".join(notes_on_missing_protocols(dataset))
    assert all(name in reasons for name in missing)
    for protocol in dataset.protocols:
        assert protocol.note
        for draw in protocol.draws or (None,):
            query, gallery = dataset.query_and_gallery(protocol, draw)
            assert query and gallery and {s.pid for s in query} & {s.pid for s in gallery}


def test_divisions_are_sound(dataset: Dataset) -> None:
    assert {name for p in dataset.protocols for name in p.draws} == set(dataset.draws)
    people = {s.path: s.pid for s in dataset.samples}
    for name, draw in dataset.draws.items():
        assert set(dataset.split(name)) == {s for s in dataset.samples if s.path in draw.train}
        assert not {people[path] for path in draw.train} & {people[path] for path in (*draw.query, *draw.gallery)}


def test_reading_again_and_elsewhere_gives_the_same(layout: DataLayout, dataset: Dataset, tmp_path: Path) -> None:
    elsewhere = layout.load(TREES[layout.name](tmp_path / "other" / "place"))
    assert elsewhere.samples == dataset.samples
    assert elsewhere.fingerprint == dataset.fingerprint
    assert open_dataset(tmp_path / "data", layout.name) == dataset


def test_opened_by_a_relative_path_the_root_is_absolute(layout: DataLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if layout.name not in TREES:
        pytest.skip(f"no tree is known for {layout.name}")
    root = TREES[layout.name](tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    opened = [open_dataset(Path("data")), open_dataset(Path("data"), layout.name), open_pictures(Path("data"))]
    opened.append(open_pictures(Path("data"), "pictures"))
    monkeypatch.chdir(root)
    opened += [open_dataset(Path(".")), open_pictures(Path("../data"))]
    assert [dataset.root for dataset in opened] == [root] * len(opened)
