"""Fixtures of the tests of parse and mask (seven pictures, their label maps, a small parser) and of datasets (a small data set)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reidclip import registry
from reidclip.artifacts.store import Store
from reidclip.data.images import write_indexed_png
from reidclip.data.lip import LIP_PALETTE
from reidclip.registry import PluginInfo
from tests import trees
from tests.cli.in_process import CommandLine
from tests.cli.red_pictures import labels_of, path_of, shape_of, write_red
from tests.cli.small_layout import Register, SmallLayout
from tests.plugins.schp_fixtures import tiny_weights


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Seven pictures in two folders, of two sizes."""
    root = tmp_path / "people"
    for index in range(7):
        write_red(root / path_of(index), labels_of(index, shape_of(index)), index)
    return root


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def maps(data: Path, tmp_path: Path) -> Path:
    """Label maps made elsewhere, by relative path."""
    for index in range(7):
        target = tmp_path / "maps" / path_of(index)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(target, labels_of(index, shape_of(index)), LIP_PALETTE)
    return tmp_path / "maps"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return str(tiny_weights(tmp_path))


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    """The command line, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Let the layouts given, and one that is broken, be the only ones."""

    def only(*layouts: Any) -> None:
        infos = {layout.name: PluginInfo("reidclip.layouts", layout.name, "x:Y", "tests", "1", layout) for layout in layouts}
        infos["broken"] = PluginInfo("reidclip.layouts", "broken", "x:Z", "tests", "1", error="ImportError: no module\nnamed q")
        monkeypatch.setattr(registry, "names", lambda group: sorted(infos))
        monkeypatch.setattr(registry, "info", lambda group, name: infos[name])

    return only


@pytest.fixture
def small(register: Register, tmp_path: Path) -> Path:
    """A whole copy of the small data set, whose layout is registered."""
    register(SmallLayout())
    return trees.prcc(tmp_path / "small")
