"""Checks that need the pictures: readable, decoded as stored, and each there once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from reidclip.data.halves import TRAINING_HALF
from reidclip.data.images import PictureFacts
from reidclip.data.inspect import Inspected
from reidclip.records import Dataset, Sample
from reidclip.stages.verify_report import DuplicateGroup, Finding, Kind, Level, PictureCheck, Spread

SMALL = (32, 16)  # height, width: less than an eighth of the usual input of 256 x 128
LARGE_PIXELS = 2_000_000  # a whole frame of a camera, hardly a crop of one person
SPREAD = 10  # largest height over smallest: crops of one release are mostly within this

_KINDS: tuple[Kind, ...] = ("identities", "train-test", "splits", "split")
_ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
_DUPLICATES: Mapping[Kind, tuple[str, str]] = {
    "identities": ("under different identities", "Their labels contradict each other."),
    "train-test": ("in training and in test", "Results will look better than they are."),
    "splits": ("in several splits of one half", "To find a query's own file in the gallery, or a training file in val, proves nothing."),
    "split": ("within one split", ""),
}


def owners(dataset: Dataset) -> dict[str, Sample]:
    """Picture -> its sample, frames of tracklets included, in the data set's order."""
    return {path: sample for sample in dataset.samples for path in sample.pictures}


def check_pictures(dataset: Dataset, inspected: Sequence[Inspected], seconds: float) -> PictureCheck:
    """Sum up what reading all files of a data set told."""
    readable = [i.facts for i in inspected if i.facts is not None]
    return PictureCheck(
        opened=len(inspected),
        megabytes=round(sum(i.size for i in inspected) / 1e6, 3),
        unreadable={i.path: i.problem for i in inspected if i.facts is None},
        modes=dict(Counter(f.mode for f in readable).most_common()),
        formats=dict(Counter(f.format for f in readable).most_common()),
        height=_spread([f.height for f in readable]),
        width=_spread([f.width for f in readable]),
        duplicates=duplicates(dataset, inspected),
        seconds=round(seconds, 3),
    )


def _spread(values: Sequence[int]) -> Spread | None:
    ordered = sorted(values)
    return Spread(ordered[0], ordered[len(ordered) // 2], ordered[-1]) if ordered else None


def duplicates(dataset: Dataset, inspected: Sequence[Inspected]) -> tuple[DuplicateGroup, ...]:
    """Groups of files with the same bytes, the worst kind first. Empty files are unreadable, not alike."""
    owner = owners(dataset)
    by_digest: dict[str, list[str]] = defaultdict(list)
    for one in inspected:
        if one.sha256 and one.size:
            by_digest[one.sha256].append(one.path)
    groups = [
        DuplicateGroup(_kind([owner[path] for path in paths], dataset.numbered_apart), digest, tuple(paths))
        for digest, paths in by_digest.items()
        if len(paths) > 1
    ]
    return tuple(sorted(groups, key=lambda g: (_KINDS.index(g.kind), g.paths)))


def _kind(samples: Sequence[Sample], numbered_apart: bool) -> Kind:
    people = {(numbered_apart and s.split in TRAINING_HALF, s.pid) for s in samples if s.pid >= 0}
    halves = {s.split in TRAINING_HALF for s in samples}
    if len(people) > (len(halves) if numbered_apart else 1):  # people of two halves numbered apart cannot be told to be the same or not
        return "identities"
    if len(halves) > 1:
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
    text = f"Pictures that cannot be read: {len(check.unreadable):,} of {check.opened:,}. Replace them by intact copies."
    return [Finding("fault", "pictures", text, tuple(f"{path}: {problem}" for path, problem in check.unreadable.items()))]


def _duplicates(groups: Sequence[DuplicateGroup], is_the_release: bool) -> list[Finding]:
    findings = []
    for kind in _KINDS:
        alike = [g for g in groups if g.kind == kind]
        if alike:
            serious: Level = "warning" if is_the_release else "fault"
            level = serious if kind in ("identities", "train-test") else "warning" if kind == "splits" else "note"
            files = tuple(" = ".join(group.paths) for group in alike)
            where, so = _DUPLICATES[kind]
            findings.append(Finding(level, "duplicates", f"Groups of equal files {where}: {len(alike):,}. {so}".rstrip(), files))
    return findings


def _oddities(inspected: Sequence[Inspected], check: PictureCheck) -> list[Finding]:
    """Pictures that are read without trouble but look like a mistake; each with what is done about it."""
    readable = [(i.path, i.facts) for i in inspected if i.facts is not None]
    told = (
        (
            "Pictures that are not RGB",
            f"They are converted when read ({_shares(check.modes)}).",
            [f"{path}: {f.mode}" for path, f in readable if f.mode != "RGB"],
        ),
        ("Pictures turned by their EXIF orientation", "They are read upright.", [path for path, f in readable if f.rotated]),
        (
            "Pictures in another format than their names say",
            "They are read all the same.",
            [f"{path}: {f.format}" for path, f in readable if _misnamed(path, f.format)],
        ),
        (
            f"Pictures smaller than {SMALL[0]} x {SMALL[1]} (height x width)",
            "",
            [_sized(path, f) for path, f in readable if f.height < SMALL[0] or f.width < SMALL[1]],
        ),
        (
            f"Pictures of more than {LARGE_PIXELS // 10**6} million pixels",
            "Whole frames instead of crops of one person?",
            [_sized(path, f) for path, f in readable if f.height * f.width > LARGE_PIXELS],
        ),
        ("Pictures wider than tall", "People seldom are.", [_sized(path, f) for path, f in readable if f.width > f.height]),
    )
    findings = [Finding("note", "pictures", f"{what}: {len(files):,}. {so}".rstrip(), tuple(files)) for what, so, files in told if files]
    if check.height is not None and check.height.most > SPREAD * check.height.least:
        text = f"Sizes differ much: heights from {check.height.least} to {check.height.most} pixels."
        findings.append(Finding("note", "pictures", text))
    return findings


def _shares(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items() if name != "RGB")


def _misnamed(path: str, kind: str) -> bool:
    expected = _ENDINGS.get(PurePosixPath(path).suffix.lower())
    return expected is not None and expected != kind


def _sized(path: str, facts: PictureFacts) -> str:
    return f"{path}: {facts.height} x {facts.width}"
