"""What `reidclip datasets verify` finds, as records; `as_json` is the form for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Level = Literal["fault", "warning", "note"]
Kind = Literal["identities", "train-test", "splits", "split"]

WARN_ONLY = "G"
MARKS: Mapping[str, str] = {
    "C": "counted from a complete list of the files",
    "R": "stated in, or forced by, the code or README of the reference repository",
    "T": "measured on the release by an independent public project",
    "S": "arithmetic from such numbers",
    "G": "hearsay: a difference is a warning only",
}
"""How well a published count is known, by the mark of `reidclip.records.PublishedCount`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the reader should know.

    Attributes:
        level: "fault" (verify fails), "warning" (it fails when strict), "note".
        check: "files", "counts", "labels", "protocols", "pictures" or "duplicates".
        text: one or two sentences.
        files: every file that it is about, with what is wrong with each where they differ.
    """

    level: Level
    check: str
    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitCount:
    """What one split holds.

    Attributes:
        pictures: frames of tracklets included.
        outfits: None where clothes are unknown.
        cameras: the true ones; 0 where none are named.
        tracklets: None where the samples are single pictures.
    """

    split: str
    identities: int
    pictures: int
    outfits: int | None
    cameras: int
    tracklets: int | None = None


@dataclass(frozen=True, slots=True)
class CountCheck:
    """A published count beside the one found."""

    what: str
    mark: str
    published: int
    found: int

    @property
    def state(self) -> Literal["same", "differs", "doubtful"]:
        """ "doubtful": it differs from a number that is hearsay."""
        if self.found == self.published:
            return "same"
        return "doubtful" if self.mark == WARN_ONLY else "differs"


@dataclass(frozen=True, slots=True)
class ProtocolCheck:
    """What a protocol compares: ``valid`` queries have a match that its rule leaves in the gallery, the others are skipped."""

    name: str
    rule: str
    queries: int
    valid: int
    skipped: int
    gallery: int
    note: str


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Files of the same bytes.

    Attributes:
        kind: the worst that is true of them: they belong to different "identities"; "train-test", to both halves; to several
            "splits" of one half (query and gallery); to one "split".
    """

    kind: Kind
    sha256: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, middle and largest of a number."""

    least: int
    median: int
    most: int


@dataclass(frozen=True)
class PictureCheck:
    """All pictures, opened.

    Attributes:
        opened: how many files were read.
        megabytes: of all files together.
        unreadable: path -> what is wrong with it.
        modes, formats: how many pictures by `PictureFacts.mode` and `.format`.
        height, width: in pixels; None when nothing is readable.
        duplicates: the worst first.
        seconds: wall time of the reading.
    """

    opened: int
    megabytes: float
    unreadable: Mapping[str, str]
    modes: Mapping[str, int]
    formats: Mapping[str, int]
    height: Spread | None
    width: Spread | None
    duplicates: tuple[DuplicateGroup, ...]
    seconds: float


@dataclass(frozen=True)
class VerifyReport:
    """Everything that a verification found.

    Attributes:
        root, layout, title: what was verified.
        rendered: made by `reidclip synth`.
        splits: one row per split, in the layout's order.
        left_out: what the tree holds and the samples do not, number of pictures by name.
        counts: empty when they were not compared; ``not_compared`` then says why.
        protocols: one row per protocol.
        pictures: None when they were not opened.
        findings: faults first, then warnings, then notes.
    """

    root: Path
    layout: str
    title: str
    rendered: bool
    splits: tuple[SplitCount, ...]
    left_out: Mapping[str, int]
    counts: tuple[CountCheck, ...]
    not_compared: str
    protocols: tuple[ProtocolCheck, ...]
    pictures: PictureCheck | None
    findings: tuple[Finding, ...]

    def number(self, level: Level) -> int:
        """How many findings are of this level."""
        return sum(f.level == level for f in self.findings)

    def passed(self, strict: bool = False) -> bool:
        """No fault, and, when strict, no warning either."""
        return self.number("fault") == 0 and not (strict and self.number("warning"))

    def as_json(self, strict: bool = False) -> dict[str, Any]:
        """The report as plain values, nothing shortened."""
        report = dataclasses.asdict(self)
        counts = [{**dataclasses.asdict(count), "state": count.state} for count in self.counts]
        return {"ok": self.passed(strict), "strict": strict, **report, "root": str(self.root), "counts": counts}
