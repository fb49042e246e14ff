"""An artifact on disk: a manifest that is read, and payload files that are checked before they are handed out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reidclip.artifacts import kinds
from reidclip.artifacts.manifest import MANIFEST, Manifest, read_manifest
from reidclip.artifacts.names import version_of
from reidclip.artifacts.payload import TABLE, PayloadFile, hash_file, hash_files, payload_paths, table_from_bytes
from reidclip.artifacts.upgrade import NewerSchemaError
from reidclip.errors import ReidclipError, UserError, WorkError, nearest

# Files whose digest this process has verified: (absolute path, size, mtime in ns, digest). A file that is touched is verified again.
_VERIFIED: set[tuple[str, int, int, str]] = set()


@dataclass(frozen=True)
class Artifact:
    """One version of one named artifact; immutable.

    Attributes:
        path: its folder.
        manifest: current schema, whatever schema lies on the disk.
        digest: SHA-256 of ``manifest.json`` as it lies there; through ``files.json`` it covers the whole payload.
    """

    path: Path
    manifest: Manifest
    digest: str

    @classmethod
    def load(cls, path: Path) -> Artifact:
        """Read the manifest of an artifact folder (not the payload).

        Raises:
            WorkError: missing or damaged manifest. UserError: made by a newer toolkit.
        """
        manifest, digest = read_manifest(path)
        return cls(path, manifest, digest)

    @property
    def kind(self) -> str:
        """Kind, "prompts"."""
        return self.manifest.kind

    @property
    def name(self) -> str:
        """Name without version, "ccaf-prcc"."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """Version, from 1."""
        return self.manifest.version

    @property
    def ref(self) -> str:
        """Reference within its kind, "ccaf-prcc@v1"."""
        return f"{self.name}@v{self.version}"

    @cached_property
    def files(self) -> Mapping[str, PayloadFile]:
        """Payload table: POSIX path -> size and digest. Raises `WorkError` when ``files.json`` is missing or changed."""
        path = self.path / TABLE
        try:
            data = path.read_bytes()
        except OSError as error:
            raise WorkError(f"{path} cannot be read: {error.strerror or error}.", _damaged(self)) from error
        found = hashlib.sha256(data).hexdigest()
        if found != self.manifest.payload.table_sha256:
            raise WorkError(_mismatch(path, self.manifest.payload.table_sha256, found), _damaged(self))
        return table_from_bytes(data, str(path))

    def file(self, name: str) -> Path:
        """Path of one payload file, its digest verified once per process.

        Args:
            name: POSIX path relative to the artifact.

        Raises:
            WorkError: the artifact has no such file, or the file is missing or changed ("digest mismatch").
        """
        entry = self.files.get(name)
        if entry is None:
            hint = nearest(name, self.files) if len(self.files) <= 20 else f"It holds {len(self.files)} files."
            raise WorkError(f"{self.kind} artifact {self.ref} has no file '{name}'.", hint)
        path = self.path / name
        try:
            status = path.stat()
            key = (os.path.abspath(path), status.st_size, status.st_mtime_ns, entry.sha256)
            if key not in _VERIFIED:
                found = hash_file(path)
                if found != entry:
                    raise WorkError(_mismatch(path, entry.sha256, found.sha256), _damaged(self))
                _VERIFIED.add(key)
        except OSError as error:
            raise WorkError(f"{path} cannot be read: {error.strerror or error}.", _damaged(self)) from error
        return path

    def problems(self) -> list[str]:
        """Check everything, reading every payload file; an empty list means that the artifact is whole."""
        found = self.misplaced()
        try:
            table = self.files
            present = payload_paths(self.path)
        except (ReidclipError, OSError) as error:
            return [*found, str(error).splitlines()[0]]
        found += [f"{name}: missing" for name in sorted(table.keys() - set(present))]
        found += [f"{name}: not in the manifest" for name in present if name not in table]
        found += self._changed([name for name in present if name in table])
        return found + self._lacking()

    def _changed(self, names: list[str]) -> list[str]:
        try:
            hashed = hash_files(self.path, names)
        except OSError as error:
            return [f"{error.filename}: {error.strerror}"]
        pairs = [(name, self.files[name], now) for name, now in hashed.items()]
        return [f"{name}: digest mismatch: written as {_short(then)}, now {_short(now)}" for name, then, now in pairs if then != now]

    def _lacking(self) -> list[str]:
        try:
            kind = kinds.get(self.kind)
        except UserError:  # a kind of a plugin that is not installed: nothing is known about its payload
            return []
        return [f"no payload file matches '{pattern}'" for pattern in kinds.lacking(kind, self.files)]

    def misplaced(self) -> list[str]:
        """What says that the folder is not where its manifest says; empty where it is."""
        here = self.path.resolve()
        if (here.parent.parent.name, here.parent.name, version_of(here.name)) == (self.kind, self.name, self.version):
            return []
        return [f"{MANIFEST} says {self.kind}/{self.ref}, the folder is {here.parent.parent.name}/{here.parent.name}/{here.name}"]


def is_newer(path: Path) -> bool:
    """Whether the folder is an artifact of a newer toolkit: whole, as far as anybody here can tell, but not readable."""
    try:
        read_manifest(path)
    except NewerSchemaError:
        return True
    except ReidclipError:
        return False
    return False


def _mismatch(path: Path, wanted: str, found: str) -> str:
    return f"{path}: digest mismatch: the file is {found[:12]}…, the artifact was written with {wanted[:12]}…."


def _damaged(artifact: Artifact) -> str:
    if artifact.misplaced():  # a copy: its manifest names another artifact, which may be whole
        return f"It was changed after it was written, and is a copy of {artifact.kind}/{artifact.ref}: delete the folder, or copy it again."
    command = f"reidclip artifacts rm --force {artifact.kind}/{artifact.ref}"
    return f"It was changed after it was written: remove it (`{command}`) and make it again."


def _short(file: PayloadFile) -> str:
    return f"{file.size} bytes {file.sha256[:12]}…"
