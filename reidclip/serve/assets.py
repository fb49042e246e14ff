"""The page's own files, read once from the package: nothing is loaded from anywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """One file of the page."""

    content: bytes
    media_type: str


def read_assets() -> dict[str, Asset]:
    """All files of ``reidclip/serve/page``, by name."""
    folder = files("reidclip.serve") / "page"
    found = [file for file in folder.iterdir() if file.is_file() and _ending(file.name) in _TYPES]
    return {file.name: Asset(file.read_bytes(), _TYPES[_ending(file.name)]) for file in found}


def _ending(name: str) -> str:
    return name[name.rfind(".") :]
