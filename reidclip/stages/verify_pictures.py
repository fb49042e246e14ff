"""Checks that need the pictures: readable, decoded as stored, and each there once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from reidclip.data.inspect import Inspected
from reidclip.records import Dataset, Sample
from reidclip.stages.verify_labels import TRAINING_HALF
from reidclip.stages.verify_report import DuplicateGroup, Finding, Kind, Level, PictureCheck, Spread

SMALL = (32, 16)  # height, width: less than an eighth of the usual input of 256 x 128
LARGE_PIXELS = 2_000_000  # a whole frame of a camera, hardly a crop of one person
SPREAD = 10  # largest height over smallest: crops of one release are mostly within this

_KINDS: tuple[Kind, ...] = ("identities", "train-test", "splits", "split")
_ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
_DUPLICATES: Mapping[Kind, str] = {
    "identities": "files are there under several identities: labels contradict each other.",
    "train-test": "files are there both for training and for testing: results will look better than they are.",
    "splits": "files are there in several splits of one half: a query's own picture is no match worth counting.",
    "split": "files are there more than once in one split.",
}


def owners(dataset: Dataset) -> dict[str, Sample]:
    """Picture -> its sample, frames of tracklets included, in the data set's order."""
    return {path: sample for sample in dataset.samples for path in sample.frames or (sample.path,)}


def check_pictures(inspected: Sequence[Inspected], owner: Mapping[str, Sample], seconds: float) -> PictureCheck:
    """Sum up what reading all files told."""
    readable = [i.facts for i in inspected if i.facts is not None]
    return PictureCheck(
        opened=len(inspected),
        megabytes=round(sum(i.size for i in inspected) / 1e6, 3),
        unreadable={i.path: i.problem for i in inspected if i.facts is None},
        modes=dict(Counter(f.mode for f in readable).most_common()),
        formats=dict(Counter(f.format for f in readable).most_common()),
        height=_spread([f.height for f in readable]),
        width=_spread([f.width for f in readable]),
        duplicates=duplicates(inspected, owner),
        seconds=round(seconds, 3),
    )


def _spread(values: Sequence[int]) -> Spread | None:
    ordered = sorted(values)
    return Spread(ordered[0], ordered[len(ordered) // 2], ordered[-1]) if ordered else None


def duplicates(inspected: Sequence[Inspected], owner: Mapping[str, Sample]) -> tuple[DuplicateGroup, ...]:
    """Groups of files with the same bytes, the worst kind first. Empty files are unreadable, not alike."""
    by_digest: dict[str, list[str]] = defaultdict(list)
    for one in inspected:
        if one.sha256 and one.size:
            by_digest[one.sha256].append(one.path)
    groups = [DuplicateGroup(_kind([owner[p] for p in paths]), d, tuple(paths)) for d, paths in by_digest.items() if len(paths) > 1]
    return tuple(sorted(groups, key=lambda g: (_KINDS.index(g.kind), g.paths)))


def _kind(samples: Sequence[Sample]) -> Kind:
    if len({s.pid for s in samples if s.pid >= 0}) > 1:
        return "identities"
    if len({s.split in TRAINING_HALF for s in samples}) > 1:
        return "train-test"
    return "splits" if len({s.split for s in samples}) > 1 else "split"


def picture_findings(inspected: Sequence[Inspected], check: PictureCheck, is_the_release: bool) -> list[Finding]:
    """Everything worth saying about the files.

    Args:
        inspected: all of them.
        check: their sum.
        is_the_release: all published counts agree, so that duplicates are the release's own: then they are no fault, since results
            compare on the release as it is.
    """
    return [*_unreadable(check), *_duplicates(check.duplicates, is_the_release), *_oddities(inspected, check)]


def _unreadable(check: PictureCheck) -> list[Finding]:
    if not check.unreadable:
        return []
    text = f"{len(check.unreadable):,} of {check.opened:,} pictures cannot be read. Replace them by intact copies."
    return [Finding("fault", "pictures", text, tuple(f"{path}: {problem}" for path, problem in check.unreadable.items()))]


def _duplicates(groups: Sequence[DuplicateGroup], is_the_release: bool) -> list[Finding]:
    findings = []
    for kind in _KINDS:
        alike = [g for g in groups if g.kind == kind]
        if alike:
            serious: Level = "warning" if is_the_release else "fault"
            level = serious if kind in ("identities", "train-test") else "warning" if kind == "splits" else "note"
            files = tuple(" = ".join(group.paths) for group in alike)
            findings.append(Finding(level, "duplicates", f"{len(alike):,} {_DUPLICATES[kind]}", files))
    return findings


def _oddities(inspected: Sequence[Inspected], check: PictureCheck) -> list[Finding]:
    """Pictures that are read without trouble but look like a mistake; each with what is done about it."""
    told: list[tuple[list[str], str]] = [
        (
            [f"{i.path}: {i.facts.mode}" for i in inspected if i.facts and i.facts.mode != "RGB"],
            f"pictures are not RGB ({_shares(check.modes)}); they are converted when read.",
        ),
        (
            [i.path for i in inspected if i.facts and i.facts.rotated],
            "pictures are turned by their EXIF orientation; they are read upright.",
        ),
        (
            [f"{i.path}: {i.facts.format}" for i in inspected if i.facts and _misnamed(i.path, i.facts.format)],
            "pictures have another format than their names say; they are read all the same.",
        ),
        (
            [_sized(i) for i in inspected if i.facts and (i.facts.height < SMALL[0] or i.facts.width < SMALL[1])],
            f"pictures are smaller than {SMALL[0]} x {SMALL[1]} (height x width).",
        ),
        (
            [_sized(i) for i in inspected if i.facts and i.facts.height * i.facts.width > LARGE_PIXELS],
            f"pictures have more than {LARGE_PIXELS // 10**6} million pixels: whole frames instead of crops of one person?",
        ),
        (
            [_sized(i) for i in inspected if i.facts and i.facts.width > i.facts.height],
            "pictures are wider than tall, which people seldom are.",
        ),
    ]
    findings = [Finding("note", "pictures", f"{len(files):,} {text}", tuple(files)) for files, text in told if files]
    if check.height is not None and check.height.most > SPREAD * check.height.least:
        text = f"Sizes differ much: heights from {check.height.least} to {check.height.most} pixels."
        findings.append(Finding("note", "pictures", text))
    return findings


def _shares(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items() if name != "RGB")


def _misnamed(path: str, kind: str) -> bool:
    expected = _ENDINGS.get(PurePosixPath(path).suffix.lower())
    return expected is not None and expected != kind


def _sized(one: Inspected) -> str:
    return f"{one.path}: {one.facts.height} x {one.facts.width}" if one.facts else one.path
