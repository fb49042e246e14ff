"""The artifact store: ``STORE/<kind>/<name>/v0001/`` = ``manifest.json`` + ``files.json`` + payload.

An artifact is written to a temporary folder beside its place and renamed into it: readers see all of it or nothing. Nothing here
needs a lock, except drafts that are resumed.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeAlias

from reidclip.artifacts import kinds, sweep
from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.draft import Draft
from reidclip.artifacts.durable import OTHER_STORE, write_durable, writing_to
from reidclip.artifacts.find import find, find_version, folders, version_folders
from reidclip.artifacts.lineage import LineageNode, trace, uses
from reidclip.artifacts.manifest import MANIFEST, Manifest
from reidclip.artifacts.names import check_name, version_of
from reidclip.artifacts.upgrade import NewerSchemaError
from reidclip.errors import ReidclipError, UserError

__all__ = ["Artifact", "Draft", "Scan", "Store", "Unreadable"]

_log = logging.getLogger("reidclip")
_Artifacts: TypeAlias = list[Artifact]  # inside the class `list` is the method
_Problems: TypeAlias = list[str]
_Paths: TypeAlias = list[Path]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A version folder whose manifest cannot be read, and why: it is damaged, or whole but of a newer toolkit."""

    path: Path
    kind: str
    ref: str
    problem: str
    newer: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """What lies in a store."""

    artifacts: _Artifacts
    unreadable: list[Unreadable]


class Store:
    """All artifacts under one folder.

    Args:
        root: the folder; it is made by the first write. Every method raises `UserError` when it is a file.
        dry: nothing is written, as with --dry-run: whoever would asks first, and `create` refuses.
    """

    def __init__(self, root: Path, *, dry: bool = False) -> None:
        self.root = Path(root)
        self.dry = dry

    # ------------------------------------------------------------------------------------------------------------ write
    def create(self, kind: str, name: str, *, resume_key: str | None = None) -> Draft:
        """A draft of the next version of ``name``; use it in a ``with`` statement.

        Args:
            kind: one of `reidclip.artifacts.kinds.names`.
            name: letters, digits, ``.``, ``_`` and ``-``.
            resume_key: names everything the payload depends on (a digest of data and settings); an interrupted draft of the same
                key is taken up again, see `Draft.existing`.

        Raises:
            UserError: unknown kind, invalid name, or (on entering the block) a store that cannot be written.
            WorkError: on entering: another process holds the same resumable draft; on leaving: the disk is full, the payload lacks a file.
        """
        if self.dry:
            raise RuntimeError(f"a dry store writes no {kind}")
        known = kinds.get(kind)
        check_name(name)
        if resume_key is not None:
            check_name(resume_key, "resume key")
        for path in sweep.stale_in(self.root / kind / name, float("inf")):
            shutil.rmtree(path, ignore_errors=True)
        return Draft(self.root, known, name, resume_key)

    def check_writable(self) -> None:
        """Make sure that artifacts can be written, before hours of work; leaves nothing behind.

        Raises:
            UserError: the store is a file, or cannot be written. WorkError: the disk is full.
        """
        place = next((path for path in (self.root, *self.root.absolute().parents) if path.exists()), self.root)
        try:
            with writing_to(place, self.root):
                if not place.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
                tempfile.TemporaryDirectory(prefix=".tmp-", dir=place).cleanup()
        except OSError as error:  # what is no real folder, like those of /proc, has reasons of its own
            raise UserError(f"The store {self.root} cannot be written: {error.strerror}: {place}.", OTHER_STORE) from error

    def resume_dir(self, kind: str, name: str, key: str) -> Path:
        """Folder for the state of an unfinished training, ``STORE/.runs/<kind>-<name>-<key>/``; made when it is not there.

        The caller removes it when the training is done; `gc` removes those that nobody has touched for long.
        """
        kinds.get(kind)
        path = self.root / sweep.RUNS / f"{kind}-{check_name(name)}-{check_name(key, 'run key')}"
        with writing_to(path, self.root):
            path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def cache_dir(self) -> Path:
        """Folder of what can be made again at any time (packed pictures), ``STORE/.cache/``; `gc` removes files not used for long."""
        return self.root / sweep.CACHE

    def remove(self, target: Artifact | Path, force: bool = False, before: Callable[[Path], None] = lambda path: None) -> None:
        """Remove one version (a `Path` for one whose manifest is damaged). Its version number is not used again.

        ``before`` is called with the folder once nothing speaks against it; what it raises keeps the artifact.

        Raises:
            UserError: it is not in this store, or another artifact was made from it and ``force`` is not set.
        """
        path = target.path if isinstance(target, Artifact) else target
        kind, name, version = path.parent.parent.name, path.parent.name, version_of(path.name)
        if path.resolve().parent.parent.parent != self.root.resolve() or version is None or not path.is_dir():
            raise UserError(f"{path} is not an artifact of the store {self.root}.", "Name the store it lies in with --store.")
        ref = f"{name}@v{version}"
        digest = target.digest if isinstance(target, Artifact) else None
        users = [a for a in self.list() if uses(a.manifest.inputs, kind, ref, digest)]
        if users and not force:
            told = ", ".join(f"{a.kind}/{a.ref}" for a in users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
            raise UserError(f"{kind}/{ref} is an input of {told}.", "Remove those first, or use --force and lose the lineage.")
        before(path)
        tombstone = {"kind": kind, "ref": ref, "digest": digest, "removed": datetime.now(timezone.utc).isoformat()}
        trash = path.with_name(sweep.temporary_name(sweep.TRASH))
        with writing_to(path.parent, self.root):
            write_durable(path.with_name(path.name + ".removed"), json.dumps(tombstone).encode() + b"\n")
            os.rename(path, trash)
        shutil.rmtree(trash, ignore_errors=True)

    def gc(self, older_than_days: float = 14.0, dry_run: bool = False) -> _Paths:
        """Remove what killed processes left: temporary folders whose writer is gone, and temporary folders, resumable drafts and
        unfinished trainings that nobody has touched for ``older_than_days``, packed pictures that were not used for so long; run and name
        folders that hold nothing go at any age.

        Returns:
            the removed paths (with ``dry_run``: those that would be removed).
        """
        self._check()
        removed: _Paths = []
        for name_folder in [n for k in folders(self.root) for n in folders(k)]:
            swept = sweep.sweep_name(name_folder, older_than_days, dry_run)
            removed += swept
            if name_folder.parent.name in kinds.names():  # an empty folder elsewhere may be anybody's
                removed += sweep.sweep_empty(name_folder, swept, dry_run)
        removed += sweep.sweep_runs(self.root, older_than_days, dry_run)
        return removed + sweep.sweep_cache(self.root, older_than_days, dry_run)

    # ------------------------------------------------------------------------------------------------------------- read
    def open(self, ref: str | Path, kind: str | None = None) -> Artifact:
        """The artifact of a reference: ``name``, ``name@v3``, ``kind/name@v3``, or the path of an artifact folder.

        Without a version it is the newest one. Payload digests are verified by `Artifact.file`, when files are used.

        Raises:
            UserError: there is none (with the nearest names), the name exists in several kinds, or it is of another kind.
            WorkError: its manifest is damaged.
        """
        artifact = Artifact.load(self.locate(ref, kind))
        if kind is not None and artifact.kind != kind:
            raise UserError(f"{artifact.path} is a {artifact.kind} artifact, not {kind}.", f"Make one with `{kinds.get(kind).command}`.")
        return artifact

    def locate(self, ref: str | Path, kind: str | None = None) -> Path:
        """The folder of a reference, its manifest unread; raises like `open`."""
        self._check()
        return find(self.root, str(ref), kind)

    def locate_version(self, ref: str) -> Path:
        """Like `locate`, but `UserError` also when the reference leaves out the version."""
        self._check()
        return find_version(self.root, ref)

    def scan(self, kind: str | None = None) -> Scan:
        """All artifacts (of one kind), in the order of the pipeline, then by name and version, and those that cannot be read."""
        self._check()
        found = Scan([], [])
        for path in self._version_folders(kind):
            try:
                found.artifacts.append(Artifact.load(path))
            except ReidclipError as error:
                if not path.is_dir():
                    continue  # removed by another process meanwhile
                ref = f"{path.parent.name}@v{version_of(path.name)}"
                found.unreadable.append(Unreadable(path, path.parent.parent.name, ref, error.what, isinstance(error, NewerSchemaError)))
        return found

    def list(self, kind: str | None = None) -> _Artifacts:
        """All readable artifacts (of one kind); unreadable ones are skipped with a warning on the "reidclip" logger."""
        found = self.scan(kind)
        for broken in found.unreadable:
            _log.warning("Skipped %s/%s: %s", broken.kind, broken.ref, broken.problem)
        return found.artifacts

    def newest(self, kind: str, where: Callable[[Manifest], bool] = lambda manifest: True) -> Artifact | None:
        """The artifact of that kind that was created last among the readable ones that ``where`` accepts."""
        kinds.get(kind)
        fitting = [a for a in self.list(kind) if where(a.manifest)]
        return max(fitting, key=lambda a: (a.manifest.created, a.version), default=None)

    def verify(self, artifact: Artifact) -> _Problems:
        """Read every payload file and compare digests; also tell who was made from another manifest than this.

        Returns:
            one sentence per problem; empty when it is whole.
        """
        problems = artifact.problems()
        for other in self.scan().artifacts:
            for used in other.manifest.inputs:
                if (used.kind, used.ref) == (artifact.kind, artifact.ref) and used.digest != artifact.digest:
                    problems.append(f"{MANIFEST}: not the one that {other.kind}/{other.ref} was made from")
        return problems

    def lineage(self, artifact: Artifact) -> LineageNode:
        """The tree of what it was made from, resolved by digest; what is "missing" or "changed" says so."""
        found = self.scan()
        return trace(artifact, found.artifacts, [(broken.kind, broken.ref) for broken in found.unreadable])

    def _check(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"The store {self.root} is a file, not a folder.", "Name another folder with --store (or REIDCLIP_STORE).")

    def _version_folders(self, kind: str | None) -> Iterator[Path]:
        order = {name: i for i, name in enumerate(kinds.names())}
        chosen = [self.root / kind] if kind else sorted(folders(self.root), key=lambda f: (order.get(f.name, len(order)), f.name))
        for kind_folder in chosen:
            for name_folder in folders(kind_folder):
                yield from version_folders(name_folder)
