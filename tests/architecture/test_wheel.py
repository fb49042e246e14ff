"""What an installation gets: the wheel holds the packages, their recipes, papers and weights, and nothing beside them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.fakes import REPOSITORY

SUFFIXES = {".py", ".toml", ".md", ".json", ".safetensors", ".npz", ".html", ".css", ".js"}


def test_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {"reidclip", *(p.name for p in (REPOSITORY / "plugins").iterdir() if p.is_dir() and p.name.startswith("reidclip_"))}
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == packages
    assert len(packages) >= 4
    files = [p for folder in ("reidclip", "plugins") for p in (REPOSITORY / folder).rglob("*") if p.suffix in SUFFIXES]
    wanted = {p.relative_to(REPOSITORY).as_posix().removeprefix("plugins/") for p in files} - {"README.md"}
    assert wanted - names == set(), "a file of the packages is not installed"
    assert "reidclip/py.typed" in names
