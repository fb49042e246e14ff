"""From a folder to a data set: recognition, ambiguity, broken plugins, plain pictures."""

from pathlib import Path

import pytest

from reidclip import registry
from reidclip.data.layouts import folder as folder_layout
from reidclip.data.layouts import prcc as prcc_layout
from reidclip.data.open import open_dataset, open_pictures
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset, Sample
from reidclip.registry import PluginInfo
from tests.trees import folder, prcc, write_picture, write_pictures


class Stranger:
    """A layout that misbehaves as told."""

    name = "stranger"
    title = "A stranger's layout"
    expected_tree = "DATA/first line\nDATA/second line"
    source = ""
    published = ()

    def __init__(self, recognises: bool | Exception = True, loads: Dataset | Exception | None = None) -> None:
        self._recognises, self._loads = recognises, loads

    def recognises(self, root: Path) -> bool:
        if isinstance(self._recognises, Exception):
            raise self._recognises
        return self._recognises

    def load(self, root: Path) -> Dataset:
        if isinstance(self._loads, Exception):
            raise self._loads
        return self._loads or Dataset("stranger", root, ())


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> list[PluginInfo]:
    """The registered layouts; tests append to it."""

    def info(name: str, layout: object) -> PluginInfo:
        return PluginInfo("reidclip.layouts", name, "x:Y", "reidclip", "0", layout)

    infos = [info("folder", folder_layout.LAYOUT), info("prcc", prcc_layout.LAYOUT)]
    monkeypatch.setattr(registry, "all_infos", lambda group: infos)
    monkeypatch.setattr(registry, "get", lambda group, name: next(i.object for i in infos if i.name == name))
    return infos


def add(plugins: list[PluginInfo], layout: object, error: str | None = None) -> None:
    plugins.append(PluginInfo("reidclip.layouts", "stranger", "x:Y", "stranger-dist", "0", layout, error))


@pytest.mark.usefixtures("plugins")
def test_recognised_by_the_tree(tmp_path: Path) -> None:
    assert open_dataset(prcc(tmp_path / "a")).layout == "prcc"
    assert open_dataset(folder(tmp_path / "b")).layout == "folder"


@pytest.mark.usefixtures("plugins")
def test_two_candidates_are_told_and_the_name_decides(tmp_path: Path) -> None:
    root = folder(prcc(tmp_path))
    with pytest.raises(UserError) as caught:
        open_dataset(root)
    assert "folder, prcc" in caught.value.what and "--dataset" in caught.value.remedy
    assert open_dataset(root, "prcc").layout == "prcc"
    assert open_dataset(root, "folder").layout == "folder"
    with pytest.raises(UserError, match="folder, prcc"):
        open_pictures(root)


@pytest.mark.usefixtures("plugins")
def test_a_table_that_is_not_named_index_gives_way_to_a_tree(tmp_path: Path) -> None:
    root = folder(prcc(tmp_path / "a"), name="people.csv")
    assert open_dataset(root).layout == open_pictures(root).layout == "prcc"
    assert open_dataset(root, "folder").layout == "folder"
    assert open_dataset(folder(tmp_path / "b", name="people.csv")).layout == "folder"


def test_where_everybody_gives_way_the_names_are_told(tmp_path: Path, plugins: list[PluginInfo]) -> None:
    class Shy(Stranger):
        def yields(self, root: Path) -> bool:
            return True

    add(plugins, Shy())
    with pytest.raises(UserError, match="folder, stranger"):
        open_dataset(folder(tmp_path / "a", name="people.csv"))
    assert open_dataset(folder(tmp_path / "b")).layout == "folder"  # an index is meant


@pytest.mark.usefixtures("plugins")
def test_the_folder_above_points_at_the_data_sets_below(tmp_path: Path) -> None:
    prcc(tmp_path / "one")
    folder(tmp_path / "two")
    write_picture(tmp_path / "three" / "a.jpg")
    with pytest.raises(UserError, match="No data layout recognises") as caught:
        open_dataset(tmp_path)
    assert caught.value.remedy == f"Give the folder of one data set: {tmp_path / 'one'} (prcc), {tmp_path / 'two'} (folder)."


def test_nothing_recognised_tells_the_known_trees(tmp_path: Path, plugins: list[PluginInfo]) -> None:
    add(plugins, None, "ImportError: no module named x")
    write_picture(tmp_path / "a.jpg")
    with pytest.raises(UserError) as caught:
        open_dataset(tmp_path)
    for part in ("folder: DATA/index.csv", "prcc: DATA/rgb/train", "stranger: unavailable (ImportError: no module named x)"):
        assert part in caught.value.remedy
    assert "rgb/test" not in caught.value.remedy  # first lines only


@pytest.mark.parametrize("opener", [open_dataset, open_pictures])
def test_no_folder(tmp_path: Path, opener: object) -> None:
    assert callable(opener)
    with pytest.raises(UserError, match=r"no folder .*gone"):
        opener(tmp_path / "gone")
    with pytest.raises(UserError, match="is a file"):
        opener(write_picture(tmp_path / "a.jpg"))


def test_broken_strangers_do_not_disturb(tmp_path: Path, plugins: list[PluginInfo]) -> None:
    add(plugins, None, "RuntimeError: broken")
    add(plugins, Stranger(recognises=RuntimeError("boom")))
    add(plugins, object())
    assert open_dataset(prcc(tmp_path)).layout == "prcc"


def test_failing_stranger_is_named(tmp_path: Path, plugins: list[PluginInfo]) -> None:
    add(plugins, Stranger(loads=KeyError("pid")))
    with pytest.raises(WorkError, match=r"'stranger' failed on .*KeyError: 'pid'"):
        open_dataset(tmp_path)


def test_data_set_without_samples(tmp_path: Path, plugins: list[PluginInfo]) -> None:
    add(plugins, Stranger())
    with pytest.raises(UserError, match="holds no pictures that the layout 'stranger' knows"):
        open_dataset(tmp_path)


@pytest.mark.usefixtures("plugins")
def test_plain_pictures(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, ["z.png", "b/c.JPG", "b/a.jpeg", ".hidden/x.jpg", "parsing/own.png"])
    (root / "README.md").write_text("hello")
    dataset = open_pictures(root)
    assert dataset.samples == tuple(Sample(p, -1, 0, -1, "all") for p in ("b/a.jpeg", "b/c.JPG", "parsing/own.png", "z.png"))
    assert (dataset.layout, dataset.protocols) == ("pictures", ())


@pytest.mark.usefixtures("plugins")
def test_a_rendered_set_keeps_its_label_maps_to_itself(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, ["a/1.jpg", "parsing/a/1.png"])
    (root / "synth.json").write_text("{}")
    assert [s.path for s in open_pictures(root).samples] == ["a/1.jpg"]


@pytest.mark.usefixtures("plugins")
def test_pictures_of_a_known_layout_keep_their_labels(tmp_path: Path) -> None:
    root = prcc(tmp_path)
    assert open_pictures(root) == open_dataset(root)
    plain = open_pictures(root, "pictures")
    assert plain.layout == "pictures" and len(plain.samples) == len(open_dataset(root).samples)


@pytest.mark.usefixtures("plugins")
def test_no_pictures_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        open_pictures(tmp_path)


@pytest.mark.usefixtures("plugins")
def test_two_pictures_of_one_stem(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a/1\.jpg and a/1\.png differ in the suffix only"):
        open_pictures(write_pictures(tmp_path, ["a/1.jpg", "a/1.png"]))
