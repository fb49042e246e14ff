"""Who may import whom, and how long the command line takes to answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import REPOSITORY, environment

HEAVY = ("torch", "open_clip", "torchvision", "cv2")


def test_import_contracts(tmp_path: Path) -> None:
    """Core imports no plugin, no plugin imports another (pyproject.toml, tool.importlinter)."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    paths = (REPOSITORY, REPOSITORY / "plugins")
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(tmp_path, *paths), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["finetune", "--help"],
        ["plugins", "list"],
        ["plugins", "eq", "ccaf", "10"],
        ["plugins", "check"],
        ["datasets", "list"],
        ["datasets", "show", "prcc"],
        ["datasets", "verify", "--help"],
        ["import", "--help"],
        ["mask", "--list-labels"],
    ],
)
def test_light_commands_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    code = f"""
import sys, json
sys.argv = ["reidclip", *{arguments!r}]
from reidclip.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["parse", "pictures", "--parser", "shcp"], "There is no parser 'shcp'."),
        (["mask", "pictures", "--weights", "none.pth"], "No weights file at none.pth."),
        (["mask", "pictures", "--store", "/dev/null"], "is a file where the store"),
        (["prompt-learn", "--method", "caf"], "There is no method 'caf'."),
    ],
)
def test_slips_are_told_before_torch_is_imported(tmp_path: Path, arguments: list[str], told: str) -> None:
    code = f"""
import sys
sys.argv = ["reidclip", *{arguments!r}]
from reidclip.cli.app import main
try:
    main()
except SystemExit as end:
    assert end.code == 2, end.code
assert not set({HEAVY!r}) & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and told in " ".join(done.stderr.split()), done.stderr


def test_help_answers_at_once(tmp_path: Path) -> None:
    """0.3 s is the aim. Processor time does not depend on what else the machine does; importing torch alone takes three times the bound."""
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "reidclip", "--help"], env=environment(tmp_path), capture_output=True, check=True, timeout=60)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) < 0.6, seconds
