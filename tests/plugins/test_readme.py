"""plugins/README.md says nothing that is not so: its commands run, its two snippets keep their Protocol and work."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidclip import interfaces, registry
from reidclip.interfaces import GROUPS
from reidclip.registry import PluginInfo
from reidclip.stages.check_plugins import check_plugin
from tests.fakes import REPOSITORY, environment, reidclip_command
from tests.trees import write_picture

README = (REPOSITORY / "plugins" / "README.md").read_text()


def snippet(name: str) -> Any:
    """Run the Python block that defines ``name`` and give the object."""
    (block,) = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if f"\n{name} = " in code]
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "plugins/README.md", "exec", dont_inherit=True), namespace)
    return namespace[name]


COMMANDS = re.findall(r"^reidclip (.*)$", README, re.MULTILINE)


@pytest.mark.parametrize("group", GROUPS)
def test_the_tables_name_every_bundled_plugin(group: str) -> None:
    bundled = {info.name for info in registry.all_infos(group) if info.distribution == registry.BUNDLED_DISTRIBUTION}
    for text in (README, interfaces.__doc__):
        (row,) = [line for line in text.splitlines() if group in line and f"`{GROUPS[group].__name__}`" in line]
        named = set(re.findall(r"[a-z][\w-]*", row.partition(f"`{GROUPS[group].__name__}`")[2]))
        assert bundled <= named, row
        assert named - bundled <= {"and", "its", "small", "stand-in", "schp-tiny"}, row


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str, tmp_path: Path) -> None:
    done = subprocess.run(reidclip_command(*command.split()), env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("group", GROUPS)
def test_table_of_bundled_plugins(group: str) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{group}` |")]
    bundled = {i.name for i in registry.all_infos(group) if i.distribution == registry.BUNDLED_DISTRIBUTION}
    assert set(re.findall(r"`([^`]+)`", row)) == bundled | {group, GROUPS[group].__name__}


def test_layout(tmp_path: Path) -> None:
    layout = snippet("LAYOUT")
    assert check_plugin(PluginInfo("reidclip.layouts", "lobby", "readme:LAYOUT", "reidclip-lobby", "1", object=layout)) == []
    assert not layout.recognises(tmp_path)
    for place in ("train/7/0_1.jpg", "query/8/0_1.jpg", "gallery/8/1_1.jpg"):
        write_picture(tmp_path / place)
    assert layout.recognises(tmp_path)
    dataset = layout.load(tmp_path)
    assert [(s.path, s.pid, s.camid, s.split) for s in dataset.samples] == [
        ("train/7/0_1.jpg", 7, 0, "train"),
        ("query/8/0_1.jpg", 8, 0, "query"),
        ("gallery/8/1_1.jpg", 8, 1, "gallery"),
    ]
    query, gallery = dataset.query_and_gallery(dataset.protocols[0])
    assert (len(query), len(gallery)) == (1, 1)
    assert len(dataset.fingerprint) == 64


def test_parser() -> None:
    parser = snippet("PARSER")
    assert check_plugin(PluginInfo("reidclip.parsers", "thirds", "readme:PARSER", "reidclip-thirds", "1", object=parser)) == []
    session = parser.open(parser.settings(waist=0.5), None)
    small, large = session([np.zeros((12, 5, 3), np.uint8), np.zeros((60, 20, 3), np.uint8)])
    assert (small.shape, large.shape, small.dtype) == ((12, 5), (60, 20), np.uint8)
    assert small[:, 0].tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert large.max() < len(session.labels)
