"""The payload table ``files.json``: path, size and SHA-256 of every file of an artifact."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from reidclip.artifacts.manifest import MANIFEST
from reidclip.errors import WorkError

TABLE = "files.json"
PART = ".part"  # suffix of a payload file that is still being written, see `Draft.write`


class PayloadFile(NamedTuple):
    """Size in bytes and SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


def payload_paths(folder: Path) -> list[str]:
    """Sorted POSIX paths of all payload files.

    Raises:
        WorkError: a link or special file is among them: its content could change behind the artifact's back.
    """
    return sorted(path for path in _walk(folder, "") if path not in (MANIFEST, TABLE))


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name
            else:
                raise WorkError(f"{entry.path} is not a plain file.", "An artifact holds plain files only: copy the content instead.")


def hash_file(path: Path) -> PayloadFile:
    """Read one file in blocks of 1 MiB."""
    digest = hashlib.sha256()
    size = 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return PayloadFile(size, digest.hexdigest())


def hash_files(folder: Path, paths: list[str]) -> dict[str, PayloadFile]:
    """Hash many files in a thread pool (hashing and reading both release the interpreter lock)."""
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 2)) as pool:
        return dict(zip(paths, pool.map(lambda path: hash_file(folder / path), paths), strict=True))


def table_to_bytes(table: Mapping[str, PayloadFile]) -> bytes:
    """``{"files": {"a/b.png": [size, "sha256"]}}``, one file per line."""
    lines = (f"{json.dumps(path)}: {json.dumps([entry.size, entry.sha256])}" for path, entry in sorted(table.items()))
    return ('{"files": {\n' + ",\n".join(lines) + "\n}}\n").encode("ascii")


def table_from_bytes(data: bytes, where: str) -> dict[str, PayloadFile]:
    """Read a payload table.

    Raises:
        WorkError: damaged, or it names a path outside the artifact.
    """
    try:
        table = {str(path): PayloadFile(int(size), str(sha256)) for path, (size, sha256) in json.loads(data)["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WorkError(f"{where} is damaged: {error}.", "Remove the artifact and make it again.") from error
    outside = next((p for p in table if not p or "\\" in p or any(part in ("", ".", "..") for part in p.split("/"))), None)
    if outside is not None:
        raise WorkError(f"{where} names a file outside the artifact: '{outside}'.", "Do not use this artifact.")
    return table
