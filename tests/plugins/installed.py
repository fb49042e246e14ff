"""Distributions installed into a folder of their own, as pip installs them, for tests that run the command line beside them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.fakes import REPOSITORY, environment

EXAMPLE = REPOSITORY / "examples" / "minimal_plugin"

BROKEN = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "reidclip-broken"
version = "9.9"

[project.entry-points."reidclip.methods"]
broken = "reidclip_broken:METHOD"
leaver = "reidclip_leaver:METHOD"
absent = "reidclip_nowhere:METHOD"
hollow = "reidclip_hollow:METHOD"

[tool.hatch.build.targets.wheel]
include = ["*.py"]
""",
    "reidclip_broken.py": 'raise RuntimeError("no licence\\nfor this machine")\n',
    "reidclip_leaver.py": 'import sys\n\nsys.exit("goodbye")\n',
    "reidclip_hollow.py": "METHOD = object()\n",
}
"""A distribution whose plugins raise, leave, do not exist, and keep no Protocol."""


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Text files by relative path."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def install(source: Path, target: Path, scratch: Path) -> Path:
    """Install a distribution's source tree into ``target``; it is built in a copy, so that the source stays clean."""
    copy = Path(shutil.copytree(source, scratch / "source"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--no-compile", "--target", str(target), str(copy)]
    done = subprocess.run(command, env=environment(scratch / "home"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return target
