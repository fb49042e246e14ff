"""Verify a data set on disk: the library twin of ``reidclip datasets verify``. Imports no torch.

report = verify(Path("data/prcc"))
report.passed(), [finding.text for finding in report.findings]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reidclip import registry
from reidclip.data.doubtful_labels import is_doubtful_labels_note
from reidclip.data.inspect import inspect_pictures
from reidclip.data.open import GROUP
from reidclip.data.published import published_of
from reidclip.records import Dataset, PublishedCount
from reidclip.stages.benchmarks import benchmark_findings, benchmark_in
from reidclip.stages.verify_faults import open_what_can_be_read
from reidclip.stages.verify_labels import check_protocols, compare_counts, count_findings, count_splits, label_findings
from reidclip.stages.verify_pictures import check_pictures, owners, picture_findings
from reidclip.stages.verify_report import CountCheck, Finding, Level, PictureCheck, VerifyReport
from reidclip.synth.benchmarks import BENCHMARKS
from reidclip.synth.files import PARAMETERS, SHARDS

Progress = Callable[[int, int], None]

_ORDER: tuple[Level, ...] = ("fault", "warning", "note")


def verify(
    root: Path,
    layout: str | None = None,
    *,
    counts: bool = True,
    open_pictures: bool = True,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> VerifyReport:
    """Read a data set, compare it with what is published of it, and open every picture.

    Args:
        root: folder of the data set.
        layout: its name; None recognises it.
        counts: compare with the published counts. Of rendered sets only the fixed benchmarks have some; their content is compared as well.
        open_pictures: decode every picture and look for files of the same bytes; without it labels alone are checked.
        workers: processes that read pictures; None takes the usable cores.
        progress: is told of pictures done and in total.

    Raises:
        UserError: no data set, or one that its layout cannot read.
        WorkError: the layout's plugin failed, or a process that reads pictures died.
    """
    dataset, file_findings = open_what_can_be_read(root, layout)
    plugin = registry.get(GROUP, layout or dataset.layout)
    rendered = any((folder / PARAMETERS).is_file() for folder in (dataset.root, root))
    known = next((name for folder in (dataset.root, root) if (name := benchmark_in(folder)) is not None), None) if rendered else None
    published: Sequence[PublishedCount] = published_of(plugin, dataset) if known is None else BENCHMARKS[known].counts
    not_compared = _why_not_compared(dataset, published, rendered and known is None, counts)
    compared = () if not_compared else compare_counts(dataset, published)
    protocols, protocol_findings = check_protocols(dataset)
    findings = [*file_findings, *count_findings(compared), *label_findings(dataset), *protocol_findings, *_notes(dataset)]
    if any((folder / SHARDS).is_dir() for folder in (dataset.root, root)):
        findings.append(Finding("warning", "counts", "The rendering is not finished: repeat the `reidclip synth` that began it."))
    if known is not None and counts:
        findings += benchmark_findings(dataset.root, known, open_pictures)
    pictures = None
    if open_pictures:
        pictures, told = _open_all(dataset, compared, workers, progress)
        findings += told
    return VerifyReport(
        root=dataset.root,
        layout=dataset.layout,
        title=str(getattr(plugin, "title", dataset.layout)) if known is None else f"{known}, rendered. {BENCHMARKS[known].title}",
        rendered=rendered,
        splits=count_splits(dataset),
        left_out=dict(dataset.left_out),
        counts=compared,
        not_compared=not_compared,
        protocols=protocols,
        pictures=pictures,
        findings=tuple(sorted(findings, key=lambda f: _ORDER.index(f.level))),
    )


def _why_not_compared(dataset: Dataset, published: Sequence[PublishedCount], rendered: bool, wanted: bool) -> str:
    """ "" when the counts are to be compared."""
    if rendered:
        return f"This set is rendered ({PARAMETERS}): the published counts of {dataset.layout} do not apply to it."
    if not published:
        return f"Nothing is published about data of the layout {dataset.layout}: there are no counts to compare with."
    return "" if wanted else "The published counts were not compared (--no-counts)."


def _notes(dataset: Dataset) -> list[Finding]:
    return [Finding("warning" if is_doubtful_labels_note(note) else "note", "labels", note) for note in dataset.notes]


def _open_all(
    dataset: Dataset, compared: Sequence[CountCheck], workers: int | None, progress: Progress
) -> tuple[PictureCheck, list[Finding]]:
    start = time.monotonic()
    inspected = inspect_pictures(dataset.root, tuple(owners(dataset)), workers, progress)
    check = check_pictures(dataset, inspected, time.monotonic() - start)
    is_the_release = bool(compared) and all(c.state != "differs" for c in compared)
    return check, picture_findings(inspected, check, is_the_release)
