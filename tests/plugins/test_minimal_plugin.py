"""The out-of-tree example, really installed: its README's commands work, and a broken neighbour disturbs nobody."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import REPOSITORY, SIZE, environment, reidclip_command, write_prcc, write_tiny_clip
from tests.plugins.installed import BROKEN, EXAMPLE, install, write_tree
from tests.warm import WarmProcess

TRAINING = ["finetune", "data/prcc", "--method", "centroid", "--recipe", "tiny"]
SMALL = ["--device", "cpu", "--workers", "0"]
for setting in (f"height={SIZE[0]}", f"width={SIZE[1]}", "epochs=2", "identities=3", "images_per_identity=2", "pad=2"):
    SMALL += ["--set", setting]


class Terminal:
    """A folder with data/prcc and a CLIP, in which the command line runs beside some installed plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_prcc(folder / "data" / "prcc")
        self.clip = write_tiny_clip(folder / "tiny.safetensors")

    def run(self, *arguments: str, plugins: tuple[Path, ...], cold: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        """``cold``: a process that imports everything itself, as a user's does."""
        line, env = reidclip_command(*arguments), environment(self.folder / "home", *plugins, **variables)
        if cold:
            return subprocess.run(line, cwd=self.folder, env=env, capture_output=True, text=True, timeout=600)
        process = WarmProcess(line, self.folder, env)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(line, process.wait(), out, err)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    return Terminal(tmp_path_factory.mktemp("terminal"))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scratch = tmp_path_factory.mktemp("example")
    return install(EXAMPLE, scratch / "site", scratch)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scratch = tmp_path_factory.mktemp("broken")
    return install(write_tree(scratch / "written", BROKEN), scratch / "site", scratch)


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {entry["name"]: entry for entry in json.loads(done.stdout)["plugins"]}


def test_commands_of_its_readme(terminal: Terminal, example: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    lines = [line.split() for line in block.splitlines()]
    assert lines[0] == ["pip", "install", "./examples/minimal_plugin"]
    assert [line[0] for line in lines[1:]] == ["reidclip"] * 4
    *looks, training = (line[1:] for line in lines[1:])
    for arguments in looks:
        done = terminal.run(*arguments, plugins=(example,), cold=arguments[:2] == ["plugins", "list"])
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        assert "centroid" in done.stdout or arguments == ["plugins", "check"]
    assert training == TRAINING


def test_it_is_listed_with_its_distribution(terminal: Terminal, example: Path) -> None:
    entry = listed(terminal.run("plugins", "list", "--json", plugins=(example,)))["centroid"]
    assert (entry["kind"], entry["distribution"], entry["version"], entry["state"]) == ("method", "reidclip-centroid", "0.1.0", "ok")


def test_it_trains_even_beside_broken_neighbours(terminal: Terminal, example: Path, broken: Path) -> None:
    done = terminal.run(
        *TRAINING, *SMALL, "--set", "pull_weight=1", "--clip", str(terminal.clip), "--json", plugins=(example, broken), cold=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    folder = terminal.folder / told["path"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["method"] == "centroid"
    assert manifest["config"]["settings"]["pull_weight"] == 1
    rows = json.loads((folder / "history.json").read_text())["stage-0"]
    assert len(rows) == 2
    for row in rows:
        assert row["main/total"] == pytest.approx(row["id"] + row["pull"], rel=1e-4)
    assert (folder / "encoder.safetensors").is_file()


def test_plugins_can_be_restricted(terminal: Terminal, example: Path) -> None:
    none = listed(terminal.run("plugins", "list", "--json", plugins=(example,), REIDCLIP_PLUGINS=""))
    assert "centroid" not in none
    assert "ccaf" in none
    named = listed(terminal.run("plugins", "list", "--json", plugins=(example,), REIDCLIP_PLUGINS="reidclip-centroid"))
    assert "centroid" in named


def test_it_passes_the_contract_tests_of_methods(terminal: Terminal, example: Path) -> None:
    """They find it in the registry, as they find a bundled one."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/contracts/test_methods.py", "-k", "centroid", "-rA"]
    env = environment(terminal.folder / "home", example, PYTEST_ADDOPTS="", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "test_a_resumed_run_ends_in_the_same_bits[centroid-finetune]" in done.stdout


class TestBrokenNeighbours:
    def test_each_is_one_line_of_the_list(self, terminal: Terminal, example: Path, broken: Path) -> None:
        done = terminal.run("plugins", "list", plugins=(example, broken))
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        lines = done.stdout.splitlines()
        for name, error in (
            ("broken", "RuntimeError: no licence for this machine"),
            ("leaver", "SystemExit: goodbye"),
            ("absent", "ModuleNotFoundError: No module named 'reidclip_nowhere'"),
        ):
            (line,) = [line for line in lines if line.startswith(f"{name} ")]
            assert error in line
            assert "reidclip-broken 9.9" in line
        assert any(line.startswith("centroid ") for line in lines)

    def test_states_in_json(self, terminal: Terminal, example: Path, broken: Path) -> None:
        entries = listed(terminal.run("plugins", "list", "--json", plugins=(example, broken)))
        states = {name: entry["state"] for name, entry in entries.items()}
        assert {name for name, state in states.items() if state == "broken"} == {"broken", "leaver", "absent"}

    def test_check_tells_all_of_it_and_fails(self, terminal: Terminal, example: Path, broken: Path) -> None:
        done = terminal.run("plugins", "check", plugins=(example, broken))
        assert done.returncode == 1
        found = {name: [line for line in done.stdout.splitlines() if line.startswith(f"method {name}: ")] for name in ("broken", "hollow")}
        assert "cannot be loaded: RuntimeError: no licence" in found["broken"][0]
        assert "method hollow: lacks 'name' of Method (reidclip/interfaces.py)" in found["hollow"]
        assert not any(line.startswith(("method centroid", "method ccaf")) for line in done.stdout.splitlines())
        told = json.loads(terminal.run("plugins", "check", "--json", plugins=(broken,)).stdout)
        assert told["ok"] is False
        assert {entry["name"] for entry in told["findings"]} == {"broken", "leaver", "absent", "hollow"}

    @pytest.mark.parametrize(("name", "error"), [("broken", "RuntimeError: no licence"), ("leaver", "SystemExit: goodbye")])
    def test_asking_for_one_gives_its_error(self, terminal: Terminal, broken: Path, name: str, error: str) -> None:
        done = terminal.run("finetune", "data/prcc", "--method", name, plugins=(broken,))
        assert done.returncode == 2
        assert f"Plugin '{name}'" in done.stderr
        assert error in done.stderr
        assert "pip uninstall reidclip-broken" in done.stderr
        assert "Traceback" not in done.stderr
