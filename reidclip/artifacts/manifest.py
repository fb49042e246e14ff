"""The manifest: what an artifact is, who made it from what, and with which result."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from reidclip.artifacts.upgrade import SCHEMA_VERSION, upgrade
from reidclip.errors import WorkError
from reidclip.records import Dataset

if TYPE_CHECKING:
    from reidclip.artifacts.artifact import Artifact

MANIFEST = "manifest.json"


class _Record(BaseModel):
    # Unknown keys are refused: a new field means a new schema_version, so an unknown key in a known schema is damage.
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetRef(_Record):
    """Which data an artifact was made from.

    Attributes:
        layout: name of the layout that read it; "joined" where it is several data sets.
        root: the folder as it was given; of joined data the one above all of them.
        fingerprint: `reidclip.records.Dataset.fingerprint`.
        samples: number of samples.
        splits: number of samples per split.
        sources: of joined data, its data sets by domain; empty where the data is one set.
    """

    layout: str
    root: str
    fingerprint: str
    samples: int
    splits: dict[str, int]
    sources: dict[str, DatasetRef] = {}

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetRef:
        """Reads sizes of all files for the fingerprints (cached on the data sets)."""
        splits = Counter(sample.split for sample in dataset.samples)
        return cls(
            layout=dataset.layout,
            root=printable(str(dataset.root)),
            fingerprint=dataset.fingerprint,
            samples=len(dataset.samples),
            splits=dict(splits),
            sources={printable(domain): cls.of(source) for domain, source in dataset.sources.items()},
        )

    @property
    def parts(self) -> tuple[DatasetRef, ...]:
        """The data sets that it is made of: those joined, or itself."""
        return tuple(part for source in self.sources.values() for part in source.parts) or (self,)

    def differences(self, other: DatasetRef) -> list[str]:
        """What differs, as phrases with this one's value first; empty when the fingerprints are equal (roots may differ).

        Where both are joined: which data sets the other lacks or has besides, and by domain what differs.
        """
        if self.fingerprint == other.fingerprint:
            return []
        if bool(self.sources) != bool(other.sources):
            return [f"{self._told()} / {other._told()}"]
        found = [f"without data set '{domain}'" for domain in other.sources if domain not in self.sources]
        found += [f"with data set '{domain}'" for domain in self.sources if domain not in other.sources]
        for domain in sorted(self.sources.keys() & other.sources.keys()):
            found += [f"data set '{domain}': {what}" for what in self.sources[domain].differences(other.sources[domain])]
        return found or self._differences_of_pictures(other)

    def _differences_of_pictures(self, other: DatasetRef) -> list[str]:
        found = [f"layout {self.layout} / {other.layout}"] if self.layout != other.layout else []
        for split in sorted(self.splits.keys() | other.splits.keys()):
            mine, theirs = self.splits.get(split, 0), other.splits.get(split, 0)
            if mine != theirs:
                found.append(f"{mine} / {theirs} pictures in split {split}")
        return found or ["equal numbers of pictures, but other paths, file sizes or labels"]

    def _told(self) -> str:
        return f"data sets {', '.join(self.sources)} joined" if self.sources else f"one data set, {self.root}"


class InputRef(_Record):
    """An artifact that was read: its reference, the SHA-256 of its manifest, and what it was used for."""

    kind: str
    ref: str
    digest: str
    role: str

    @classmethod
    def of(cls, artifact: Artifact, role: str) -> InputRef:
        """``role`` is the reader's word for it: "masks", "prompts", "teacher"."""
        return cls(kind=artifact.kind, ref=artifact.ref, digest=artifact.digest, role=role)


class Environment(_Record):
    """Where it ran; versions are None for packages that were not installed."""

    python: str
    torch: str | None
    open_clip: str | None
    device: str | None
    platform: str


class PayloadSummary(_Record):
    """The payload in three numbers; sizes and digests of its files are in ``files.json``, so that listing a store stays cheap.

    Attributes:
        files: number of payload files.
        bytes: their total size.
        table_sha256: SHA-256 of ``files.json``, which ties every file to the manifest's own digest.
    """

    files: int
    bytes: int
    table_sha256: str


class Manifest(_Record):
    """``manifest.json``, current schema.

    Attributes:
        created: UTC time at which the artifact became visible.
        command: the command line, program name first.
        config: resolved settings.
        method: method or parser that made it, by the name of what really ran.
        plugin_version: version of that method or parser.
        notes: warnings and remarks for whoever uses it.
        wall_seconds: time from opening the draft to committing it, in seconds.
    """

    schema_version: int = SCHEMA_VERSION
    kind: str
    name: str
    version: int
    created: datetime
    toolkit_version: str
    command: tuple[str, ...] = ()
    config: dict[str, Any] = {}
    seed: int | None = None
    method: str | None = None
    plugin_version: str | None = None
    dataset: DatasetRef | None = None
    inputs: tuple[InputRef, ...] = ()
    metrics: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    environment: Environment
    wall_seconds: float
    payload: PayloadSummary

    def to_bytes(self) -> bytes:
        """UTF-8 JSON as it is written to disk."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False).encode() + b"\n"


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest of any known schema.

    Args:
        data: content of the file.
        where: the file, for errors.

    Raises:
        WorkError: damaged. UserError: from a newer toolkit.
    """
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise WorkError(f"{where} is not valid JSON: {error}.", "The artifact is damaged: remove it and make it again.") from error
    if not isinstance(raw, dict):
        raise WorkError(f"{where} is not a JSON object.", "The artifact is damaged: remove it and make it again.")
    try:
        return Manifest.model_validate(upgrade(raw, where))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise WorkError(f"{where} is damaged: key '{key}': {first['msg']}.", "Remove the artifact and make it again.") from error
    except (TypeError, AttributeError) as error:  # an upgrade step met a value of another type
        raise WorkError(f"{where} is damaged: {error}.", "Remove the artifact and make it again.") from error


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of an artifact folder, and the SHA-256 of the file as it lies there.

    Raises:
        WorkError: missing, unreadable or damaged. UserError: from a newer toolkit.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WorkError(f"{path} cannot be read: {error.strerror or error}.", "The folder is no artifact, or it is damaged.") from error
    return parse_manifest(data, str(path)), hashlib.sha256(data).hexdigest()


def printable(text: str) -> str:
    """Text that UTF-8 can hold: undecodable bytes of a file name become ``\\udc..`` escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
