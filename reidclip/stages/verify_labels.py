"""Checks that need labels alone: published counts, protocols with their valid queries, and what makes results meaningless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from reidclip.data.halves import TRAINING_HALF
from reidclip.errors import UserError, WorkError
from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.records import Dataset, Protocol, PublishedCount, Sample
from reidclip.stages.verify_report import CountCheck, Finding, ProtocolCheck, SplitCount


def count_splits(dataset: Dataset) -> tuple[SplitCount, ...]:
    """One row per split, in the data set's order."""
    return tuple(_count_split(name, dataset.split(name)) for name in dict.fromkeys(s.split for s in dataset.samples))


def _count_split(name: str, samples: Sequence[Sample]) -> SplitCount:
    outfits = {s.clothes_id for s in samples}
    return SplitCount(
        split=name,
        identities=len({s.pid for s in samples}),
        pictures=sum(len(s.pictures) for s in samples),
        outfits=None if min(outfits) < 0 else len(outfits),
        cameras=len(_cameras(samples)),
        tracklets=len(samples) if any(s.frames for s in samples) else None,
    )


def _cameras(samples: Sequence[Sample]) -> set[int]:
    """The true cameras, as far as the data set names any."""
    return {camera for s in samples if (camera := s.camid if s.camera is None else s.camera) >= 0}


def compare_counts(dataset: Dataset, published: Sequence[PublishedCount]) -> tuple[CountCheck, ...]:
    """Every published count beside the one found.

    Raises:
        WorkError: a count of the layout's fails on this data.
    """
    return tuple(CountCheck(count.what, count.status, count.value, _found(dataset, count)) for count in published)


def _found(dataset: Dataset, count: PublishedCount) -> int:
    try:
        return int(count.of(dataset))
    except Exception as error:
        raise WorkError(
            f"Data layout '{dataset.layout}' failed to count '{count.what}': {type(error).__name__}: {error}.",
            "Report it to the plugin's authors, and verify with --no-counts.",
        ) from error


def count_findings(counts: Sequence[CountCheck]) -> list[Finding]:
    """One finding for the counts that must agree, one for those that are hearsay."""
    findings = []
    differing = [c for c in counts if c.state == "differs"]
    if differing:
        text = f"Counts that are not the published ones: {len(differing)} of {len(counts)} ({_first(differing)}). "
        remedy = "Fetch the data set again; if this is a part of it on purpose, verify it with --no-counts."
        findings.append(Finding("fault", "counts", text + remedy))
    doubtful = [c for c in counts if c.state == "doubtful"]
    if doubtful:
        text = f"Counts that differ from hearsay: {len(doubtful)} of {len(counts)} ({_first(doubtful)})."
        findings.append(Finding("warning", "counts", text))
    return findings


def _first(checks: Sequence[CountCheck]) -> str:
    more = ", ..." if len(checks) > 1 else ""
    return f"{checks[0].what}: {checks[0].found:,} found, {checks[0].published:,} published{more}"


def check_protocols(dataset: Dataset) -> tuple[tuple[ProtocolCheck, ...], list[Finding]]:
    """Every protocol's queries, counted under its rule, and what is wrong with them."""
    rows: list[ProtocolCheck] = []
    findings: list[Finding] = []
    if not dataset.protocols and dataset.split("query") and not dataset.split("gallery"):
        # Half a test is no choice of anybody's: a folder or list was lost. A copy without either half of it is one for training.
        findings.append(Finding("fault", "protocols", "There are query pictures and no gallery to find them in: nothing can be evaluated."))
    elif not dataset.protocols:
        findings.append(Finding("warning", "protocols", "No protocol: models can be trained on this data but not evaluated."))
    for protocol in dataset.protocols:
        try:
            rows.append(check_protocol(dataset, protocol))
        except UserError as error:
            findings.append(Finding("fault", "protocols", f"Protocol {protocol.name}: {error.what} {error.remedy}".rstrip()))
    findings += [Finding("fault", "protocols", _no_match(row)) for row in rows if row.valid == 0]
    return tuple(rows), findings


def check_protocol(dataset: Dataset, protocol: Protocol) -> ProtocolCheck:
    """Count queries with a match from the labels alone.

    A single-shot protocol is counted with its whole gallery: more queries than these are never valid. Of random divisions the one with
    the fewest valid queries is told.

    Raises:
        UserError: the rule compares clothes and some are unknown.
    """
    rows = [_check(dataset, protocol, draw) for draw in protocol.draws or (None,)]
    return min(rows, key=lambda row: (row.valid, -row.skipped))


def _check(dataset: Dataset, protocol: Protocol, draw: str | None) -> ProtocolCheck:
    query, gallery = dataset.query_and_gallery(protocol, draw)
    matches, _ = GalleryIndex(Labels.of(gallery)).pairs(Labels.of(query), protocol.rule)
    valid = int(np.unique(matches.query).size)
    return ProtocolCheck(protocol.name, protocol.rule.value, len(query), valid, len(query) - valid, len(gallery), protocol.note)


def _no_match(row: ProtocolCheck) -> str:
    if not row.queries or not row.gallery:
        return f"Protocol {row.name} has {row.queries} queries and {row.gallery} gallery pictures: it compares nothing."
    why = {"none": "another picture", "std": "a picture in another camera", "cc": "one in another camera and other clothes"}
    needed = why.get(row.rule, "one in another camera and the same clothes")
    return f"Protocol {row.name}: none of the {row.queries} queries has a match. A query needs {needed} in the gallery, of the same person."


def label_findings(dataset: Dataset) -> list[Finding]:
    """What makes training or results meaningless, from labels alone."""
    train = dataset.split("train")
    test = [s for s in dataset.samples if s.split not in TRAINING_HALF]
    overlap = [] if dataset.numbered_apart else _overlap(dataset.samples, test)
    return [*(_training_findings(train) if train or not dataset.draws else _of_divisions(dataset)), *_test_findings(test), *overlap]


def _of_divisions(dataset: Dataset) -> list[Finding]:
    name = next(iter(dataset.draws))
    text = f"No training split, but {len(dataset.draws)} random ones: --set 'train_splits=[\"{name}\"]' trains on the people of one."
    return [Finding("note", "labels", text)]


def _training_findings(train: Sequence[Sample]) -> list[Finding]:
    if not train:
        return [Finding("note", "labels", "No training split: models can be evaluated on this data but not trained.")]
    findings = _one_of(train, "training")
    nobody = tuple(s.path for s in train if s.pid < 0)
    if nobody:
        findings.append(Finding("fault", "labels", f"Training pictures without an identity: {len(nobody):,}.", nobody))
    unknown = sum(s.clothes_id < 0 for s in train)
    if unknown:
        text = f"Training pictures without a clothes label: {unknown:,} of {len(train):,}. Methods that learn from clothes need them."
        findings.append(Finding("note", "labels", text))
    single = sum(n == 1 for n in Counter(s.pid for s in train).values())
    if single:
        findings.append(Finding("note", "labels", f"Training identities with one picture only: {single:,}."))
    return findings


def _test_findings(test: Sequence[Sample]) -> list[Finding]:
    nobody = sum(s.pid < 0 for s in test)
    text = f"Test pictures of nobody known: {nobody:,}. They match no query."
    return (_one_of(test, "test") if test else []) + ([Finding("note", "labels", text)] if nobody else [])


def _one_of(samples: Sequence[Sample], half: str) -> list[Finding]:
    findings = []
    if len({s.pid for s in samples if s.pid >= 0}) == 1:
        needs = "Training needs at least two." if half == "training" else "With nobody to confuse, every result is perfect."
        findings.append(Finding("warning", "labels", f"All {half} pictures are of one identity. {needs}"))
    if len(_cameras(samples)) == 1:
        findings.append(
            Finding("warning", "labels", f"All {half} pictures come from one camera: nothing is learned or told across cameras.")
        )
    return findings


def _overlap(samples: Sequence[Sample], test: Sequence[Sample]) -> list[Finding]:
    both = {s.pid for s in samples if s.split in TRAINING_HALF} & {s.pid for s in test if s.pid >= 0}
    if not both:
        return []
    some = ", ".join(str(pid) for pid in sorted(both)[:5]) + (", ..." if len(both) > 5 else "")
    text = f"Identities in the training and in the test half: {len(both):,} ({some}). Results will look better than they are."
    return [Finding("warning", "labels", text)]
