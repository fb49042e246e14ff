"""What travels between the parts: frozen records, no torch, no file access beyond names and sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Literal

_LONGEST_NAME = 48  # of joined data, in characters


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture (or one tracklet) of one person.

    Attributes:
        path: POSIX path relative to the data set's root; for a tracklet its folder.
        pid: identity as the data set numbers it; -1 means unknown (a plain folder of pictures) and never matches.
        camid: the camera *key of the filter rules*, 0-based. Usually the camera; where a benchmark fabricates it
            (tracklet id, image number) it is that, and the true camera is in ``camera``.
        clothes_id: class of the outfit, unique per identity within its half (train or test), -1 when unknown.
        split: "train", "val", "query", "gallery", or the layout's own names ("test-A"); "all" for plain pictures.
        domain: name of the source data set when several are joined, else "".
        camera: the true camera where it differs from camid, else None; -1 where the data set knows no cameras.
        frames: relative paths of a tracklet's frames in order; empty for a single picture.
    """

    path: str
    pid: int
    camid: int
    clothes_id: int
    split: str
    domain: str = ""
    camera: int | None = None
    frames: tuple[str, ...] = ()

    @property
    def pictures(self) -> tuple[str, ...]:
        """Relative paths of its files: the frames of a tracklet, or the picture itself."""
        return self.frames or (self.path,)

    def with_frames(self, frames: tuple[str, ...]) -> Sample:
        """The tracklet with these frames alone, at least one; a picture has none to choose from and stays as it is."""
        return replace(self, frames=frames) if self.frames else self


class Rule(str, Enum):
    """Which gallery items are ignored for a query; everything else is a match or an error."""

    NONE = "none"  # nothing is ignored
    STD = "std"  # same identity and same camera
    CC = "cc"  # same identity and (same camera or same clothes)
    SC = "sc"  # same identity and (same camera or other clothes)


@dataclass(frozen=True, slots=True)
class Protocol:
    """An evaluation protocol as data: which queries, which gallery, which pairs are ignored.

    Attributes:
        name: "general", "same-clothes", "cloth-changing", or a layout's variant ("cc-cam34", "same-clothes-control").
        rule: the filter rule applied to every (query, gallery) pair.
        query, gallery: names of splits.
        query_cams, gallery_cams: keep only samples whose ``camid`` is listed; None keeps all.
        note: one sentence for the reader of a result (source, traps).
        single_shot_repeats: 0 compares with the whole gallery; n > 0 averages over n draws of one gallery picture per identity.
        true_camera: the rule looks at ``Sample.camera`` in place of ``camid``, where a benchmark fabricates the latter.
        draws: names in ``Dataset.draws``: random divisions of the data that the result is averaged over, in place of ``query`` and
            ``gallery``, which then say in words what they are.
        reports_map: False where papers report the CMC curve alone, so that a mAP would stand beside nothing.
        camera_key: name in ``Dataset.camera_keys``: the rule looks at those numbers in place of ``camid``, where published programs
            disagree on what they fabricate; "" for ``camid`` itself.
    """

    name: str
    rule: Rule
    query: str
    gallery: str
    query_cams: frozenset[int] | None = None
    gallery_cams: frozenset[int] | None = None
    note: str = ""
    single_shot_repeats: int = 0
    true_camera: bool = False
    draws: tuple[str, ...] = ()
    reports_map: bool = True
    camera_key: str = ""


@dataclass(frozen=True, slots=True)
class Draw:
    """One random division of a small data set, as relative paths in order.

    Attributes:
        train: pictures that may be trained on; the rest of the people's.
        query, gallery: pictures that are compared.
    """

    train: tuple[str, ...]
    query: tuple[str, ...]
    gallery: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """Samples per split plus named protocols.

    Attributes:
        layout: name of the layout that read it ("prcc", "folder", "pictures").
        root: folder on this machine; all sample paths are relative to it.
        samples: sorted by split as the layout orders them, then by path; the order is part of the contract.
        protocols: in the order in which they are reported.
        notes: what a reader of a result should know: what was skipped, why a protocol is missing.
        left_out: what the tree holds and the samples do not, by name -> number of pictures ("junk": 3819); `datasets verify` counts it.
        numbered_apart: identities of the training half and of the others are numbered each from the start, so that the same number in
            both means two people.
        distractors: identities of the test half that are no person at all (Market-1501's 0000): in the gallery they match nobody, and
            nobody learns them.
        draws: random divisions of the data by name ("split-9"), for protocols that average over them; each is a split of its own to
            train on.
        sources: of joined data, the data sets by domain; a picture's path then begins with its domain ("msmt17/train/0000/...jpg"), and
            identities, cameras and clothes are numbered anew over all of them. Empty where the data is one set.
        called: what it is called where its folder's name says nothing; "" where the folder's name is its own.
        camera_keys: further fabricated cameras by name, each path -> number, for protocols that differ in nothing else (Celeb-reID).
    """

    layout: str
    root: Path
    samples: tuple[Sample, ...]
    protocols: tuple[Protocol, ...] = ()
    notes: tuple[str, ...] = field(default=())
    left_out: Mapping[str, int] = field(default_factory=dict)
    numbered_apart: bool = False
    distractors: frozenset[int] = frozenset()
    draws: Mapping[str, Draw] = field(default_factory=dict)
    sources: Mapping[str, Dataset] = field(default_factory=dict)
    called: str = ""
    camera_keys: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def split(self, name: str) -> tuple[Sample, ...]:
        """Samples of one split, in order; of a draw those that may be trained on. Empty when there are none."""
        if name in self.draws:
            return self._at(self.draws[name].train)
        return tuple(s for s in self.samples if s.split == name)

    def protocol(self, name: str) -> Protocol | None:
        """The protocol of that name, or None."""
        return next((p for p in self.protocols if p.name == name), None)

    def query_and_gallery(self, protocol: Protocol, draw: str | None = None) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
        """The samples that a protocol compares; their ``camid`` is the camera that its rule looks at.

        Args:
            protocol: one of the data set's, or one made for it.
            draw: which of its draws, where it has some; None takes the first.
        """
        if protocol.draws:
            division = self.draws[draw or protocol.draws[0]]
            query, gallery = self._at(division.query), self._at(division.gallery)
        else:
            query, gallery = self.split(protocol.query), self.split(protocol.gallery)
        if protocol.true_camera:
            query, gallery = (tuple(s if s.camera is None else replace(s, camid=s.camera) for s in side) for side in (query, gallery))
        if protocol.camera_key:
            keys = self.camera_keys[protocol.camera_key]
            query, gallery = (tuple(replace(s, camid=keys[s.path]) for s in side) for side in (query, gallery))
        if protocol.query_cams is not None:
            query = tuple(s for s in query if s.camid in protocol.query_cams)
        if protocol.gallery_cams is not None:
            gallery = tuple(s for s in gallery if s.camid in protocol.gallery_cams)
        return query, gallery

    @cached_property
    def _by_path(self) -> dict[str, Sample]:
        return {s.path: s for s in self.samples}

    def _at(self, paths: Iterable[str]) -> tuple[Sample, ...]:
        return tuple(self._by_path[path] for path in paths)

    def file(self, path: str) -> Path:
        """Where a picture (or frame, or a tracklet's folder) lies on this machine, from the path that a sample names."""
        if not self.sources:
            return self.root / path
        domain, _, rest = path.partition("/")
        return self.sources[domain].file(rest)

    def absolute(self, sample: Sample) -> Path:
        """Where the picture, or the tracklet's folder, lies on this machine."""
        return self.file(sample.path)

    @property
    def name(self) -> str:
        """Short name for artifacts: the root folder's name in lower case; of joined data the domains, or the first and how many more."""
        if not self.sources:
            return self.called or self.root.resolve().name.lower()
        whole = "+".join(self.sources)
        return whole if len(whole) <= _LONGEST_NAME else f"{next(iter(self.sources))}-and-{len(self.sources) - 1}-more"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over sorted relative paths, sizes in bytes and labels; equal on every machine that holds the same data."""
        digest = hashlib.sha256()
        for line in sorted(_fingerprint_lines(self)):
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def _fingerprint_lines(dataset: Dataset) -> Iterable[str]:
    for s in dataset.samples:
        for path in s.pictures:
            size = dataset.file(path).stat().st_size
            yield f"{path}\t{size}\t{s.pid}\t{s.camid}\t{s.clothes_id}\t{s.split}\n"


@dataclass(frozen=True, slots=True)
class PublishedCount:
    """A number that a whole copy of a data set shows when counted.

    Attributes:
        what: "train: identities".
        value: the number.
        status: how well it is known. C: counted from a complete file list; R: stated in, or forced by, the code or README of the
            reference repository; T: measured on the release by an independent public project; S: arithmetic from those;
            G: hearsay. `reidclip datasets verify` fails on a mismatch with C, R, T and S, and warns on G.
        of: counts it in a loaded data set; see `reidclip.data.published` for the usual ones.
        splits: splits whose samples it counts; empty when it counts all of them, or something else.
    """

    what: str
    value: int
    status: Literal["C", "R", "T", "S", "G"]
    of: Callable[[Dataset], int]
    splits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Dense training labels, 0..N-1, from raw ids.

    Attributes:
        pids: raw identity -> label, by sorted integer id, as the field numbers them.
        clothes: raw clothes_id -> label, by sorted id.
        clothes_to_pid: label of the identity that each clothes class belongs to, indexed by clothes label.
        domains: domain -> label, by sorted name; of a single data set one, whose name is what its samples say ("").
        pid_to_domain: label of the domain that each identity comes from, indexed by identity label.
    """

    pids: dict[int, int]
    clothes: dict[int, int]
    clothes_to_pid: tuple[int, ...]
    domains: dict[str, int] = field(default_factory=dict)
    pid_to_domain: tuple[int, ...] = ()


def training_labels(samples: Iterable[Sample]) -> LabelMap:
    """Dense labels of a training split."""
    samples = tuple(samples)
    pids = {pid: i for i, pid in enumerate(sorted({s.pid for s in samples}))}
    owner = {s.clothes_id: s.pid for s in samples}
    clothes = {c: i for i, c in enumerate(sorted(owner))}
    domains = {domain: i for i, domain in enumerate(sorted({s.domain for s in samples}))}
    home = {s.pid: domains[s.domain] for s in samples}
    return LabelMap(pids, clothes, tuple(pids[owner[c]] for c in sorted(owner)), domains, tuple(home[pid] for pid in sorted(pids)))
