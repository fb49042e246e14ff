"""An artifact in the making: invisible until it is complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel

from reidclip import __version__
from reidclip.artifacts import kinds
from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.durable import disk_full, is_disk_full, rename_to_new, sync_folder, sync_tree, write_durable, writing_to
from reidclip.artifacts.environment import capture_environment
from reidclip.artifacts.kinds import Kind
from reidclip.artifacts.lock import LockedError, exclusive
from reidclip.artifacts.manifest import MANIFEST, DatasetRef, InputRef, Manifest, PayloadSummary, printable
from reidclip.artifacts.names import version_folder, version_of
from reidclip.artifacts.payload import PART, TABLE, PayloadFile, hash_files, payload_paths, table_to_bytes
from reidclip.artifacts.plain import plain
from reidclip.artifacts.sweep import LOCK, PARTIAL, temporary_name
from reidclip.errors import WorkError


class Draft:
    """Context manager: fill ``path``, call `describe`; a clean exit makes the artifact, any exception discards it.

    With a ``resume_key`` the folder survives exceptions and kills, and the next draft of the same key finds the files that were
    finished; readers never see it. One process at a time may hold it.

    Attributes:
        path: the folder to write payload files into; exists inside the ``with`` block only.
        existing: payload paths that an interrupted draft of the same key left; empty without a key.
    """

    def __init__(self, root: Path, kind: Kind, name: str, resume_key: str | None = None) -> None:
        self._root = root
        self._kind = kind
        self._name = name
        self._folder = root / kind.name / name
        self._resumable = resume_key is not None
        self._stack = contextlib.ExitStack()
        self._undo: list[Callable[[], None]] = []
        self._fields: dict[str, Any] = {}
        self._device: str | None = None
        self._artifact: Artifact | None = None
        self._start = 0.0
        self.path = self._folder / (temporary_name() if resume_key is None else PARTIAL + resume_key)
        self.existing: frozenset[str] = frozenset()

    def __enter__(self) -> Draft:
        self._start = time.perf_counter()
        with writing_to(self._folder, self._root):
            self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._stack:  # the lock, if any, is released last
            try:
                if error is None:
                    self._commit()
            except BaseException as failure:
                self._fail(failure)
                raise
            if error is not None:
                self._fail(error)

    @property
    def artifact(self) -> Artifact:
        """The finished artifact, after the ``with`` block."""
        if self._artifact is None:
            raise RuntimeError("the artifact exists after the with block only")
        return self._artifact

    def describe(
        self,
        *,
        config: Mapping[str, Any] | BaseModel | None = None,
        seed: int | None = None,
        method: str | None = None,
        plugin_version: str | None = None,
        dataset: DatasetRef | None = None,
        inputs: Sequence[InputRef] | None = None,
        metrics: Mapping[str, Any] | None = None,
        notes: Sequence[str] | None = None,
        device: object | None = None,
        wall_seconds: float | None = None,
    ) -> None:
        """Set what the manifest says; may be called several times: later values win, metrics are merged, notes appended.

        Args:
            config, metrics: mappings of plain values, settings, paths, enums, and numpy or torch scalars (non-finite: None).
            device: name of the compute device, or a ``torch.device``.
            wall_seconds: duration of the work, when it is not the time since the draft was opened.

        Raises:
            TypeError: a value cannot be written as JSON.
        """
        given = {"seed": seed, "method": method, "plugin_version": plugin_version, "dataset": dataset, "wall_seconds": wall_seconds}
        self._fields.update({key: value for key, value in given.items() if value is not None})
        if config is not None:
            self._fields["config"] = plain(config)
        if inputs is not None:
            self._fields["inputs"] = tuple(inputs)
        if metrics is not None:
            self._fields["metrics"] = {**self._fields.get("metrics", {}), **plain(metrics)}
        if notes is not None:
            self._fields["notes"] = (*self._fields.get("notes", ()), *map(printable, notes))
        if device is not None:
            self._device = str(device)

    def write(self, name: str, data: bytes) -> Path:
        """Write one payload file so that an interrupted draft never holds half of it; folders are made as needed.

        Args:
            name: POSIX path relative to the artifact.
            data: content.
        """
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + PART)
        part.write_bytes(data)
        os.replace(part, path)
        return path

    def undo(self, call: Callable[[], None]) -> None:
        """Have this called where the draft fails, its files still there: for what was made outside the store."""
        self._undo.append(call)

    # ------------------------------------------------------------------------------------------------------------ life
    def _open(self) -> None:
        for attempt in range(10):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                if self._resumable:
                    self._take_partial()
                else:
                    self.path.mkdir()
                return
            except FileNotFoundError:  # another draft of this name was discarded and took the empty folder with it
                if attempt == 9:
                    raise

    def _take_partial(self) -> None:
        try:
            self._stack.enter_context(exclusive(self.path.with_name(self.path.name + LOCK)))
        except LockedError:
            raise WorkError(
                f"Another process is making the same {self._kind.name} artifact '{self._name}' in {self._folder}.",
                "Wait until it is done, or give this one another name with --name.",
            ) from None
        self.path.mkdir(exist_ok=True)
        for leftover in (MANIFEST, TABLE):
            (self.path / leftover).unlink(missing_ok=True)
        kept = set()
        for name in payload_paths(self.path):
            # A power cut leaves files of size 0 whose data never reached the disk; no payload file is empty by design.
            if name.endswith(PART) or (self.path / name).stat().st_size == 0:
                (self.path / name).unlink()
            else:
                kept.add(name)
        self.existing = frozenset(kept)

    def _fail(self, error: BaseException) -> None:
        """Throw away what was written (a resumable draft keeps it), and explain a full disk."""
        for call in self._undo:
            call()
        keep = self._resumable and self.path.is_dir() and any(self.path.iterdir())
        if not keep:
            shutil.rmtree(self.path, ignore_errors=True)
        if not self._resumable:
            for folder in (self._folder, self._folder.parent):
                with contextlib.suppress(OSError):
                    folder.rmdir()  # only when empty
        if is_disk_full(error):
            raise disk_full(self._folder, "What was finished is kept: run again to go on." if keep else "Nothing was kept.") from error

    # ---------------------------------------------------------------------------------------------------------- commit
    def _commit(self) -> None:
        reserved = next((name for name in (MANIFEST, TABLE) if (self.path / name).exists()), None)
        if reserved:
            raise WorkError(
                f"The {self._kind.name} payload holds a file named {reserved}.", "That name belongs to the store: choose another one."
            )
        names = payload_paths(self.path)
        lacking = kinds.lacking(self._kind, names)
        if lacking:
            raise WorkError(
                f"A {self._kind.name} artifact must hold {' and '.join(lacking)}; {self._name} holds {len(names)} other files.",
                "Whatever wrote it left that out: report it to the author of the method or parser.",
            )
        table = hash_files(self.path, names)
        data = table_to_bytes(table)
        sync_tree(self.path, names)
        write_durable(self.path / TABLE, data)
        self._publish(table, hashlib.sha256(data).hexdigest())

    def _publish(self, table: Mapping[str, PayloadFile], table_sha256: str) -> None:
        payload = PayloadSummary(files=len(table), bytes=sum(entry.size for entry in table.values()), table_sha256=table_sha256)
        while True:
            manifest = self._manifest(_next_version(self._folder), payload)
            data = manifest.to_bytes()
            write_durable(self.path / MANIFEST, data)
            sync_folder(self.path)
            target = self._folder / version_folder(manifest.version)
            if rename_to_new(self.path, target):
                break
        for folder in (self._folder, self._folder.parent, self._root):
            sync_folder(folder)
        self._artifact = Artifact(target, manifest, hashlib.sha256(data).hexdigest())

    def _manifest(self, version: int, payload: PayloadSummary) -> Manifest:
        fields = {"wall_seconds": round(time.perf_counter() - self._start, 3), **self._fields}
        return Manifest(
            kind=self._kind.name,
            name=self._name,
            version=version,
            created=datetime.now(timezone.utc),
            toolkit_version=__version__,
            command=(os.path.basename(sys.argv[0]), *map(printable, sys.argv[1:])),
            environment=capture_environment(self._device),
            payload=payload,
            **fields,
        )


def _next_version(folder: Path) -> int:
    """One more than any version there is or was (a removed version leaves a tombstone, so that its reference is not reused)."""
    return 1 + max((version_of(entry) or 0 for entry in os.listdir(folder)), default=0)
