"""``reidclip report`` as a function: evaluations -> one page, a ``report`` artifact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from reidclip import __version__
from reidclip.artifacts.manifest import InputRef
from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.report.contents import Contents, GroupView
from reidclip.report.page import render
from reidclip.report.thumbnails import thumbnails
from reidclip.stages.choose import Say
from reidclip.stages.report_choose import Group, choose_evaluations, group_by_data
from reidclip.stages.report_group import Built, build_group
from reidclip.stages.report_origins import averages_of, environment_of, settings_of
from reidclip.stages.report_read import Read
from reidclip.train.device import pick_device

PAGE = "report.html"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ReportJob:
    """A page with everything decided and nothing computed.

    Attributes:
        groups: evaluations by data set.
        summaries: of data sets and seeds, whose averages the page shows.
        queries: shown per protocol.
        pictures: whether they are shown.
        heat_maps: queries per data set whose heat maps are drawn.
        people: of the map.
        most_bytes: of all pictures together.
    """

    store: Store
    groups: tuple[Group, ...]
    summaries: tuple[Artifact, ...]
    name: str
    title: str
    queries: int = 60
    pictures: bool = True
    heat_maps: int = 0
    people: int = 10
    most_bytes: int = 32_000_000
    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    say: Say = field(default=lambda text: None, compare=False)

    @property
    def evaluations(self) -> tuple[Artifact, ...]:
        """All of them."""
        return tuple(artifact for group in self.groups for artifact in group.artifacts)

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest."""
        return {
            "command": "report",
            "evaluations": [artifact.ref for artifact in self.evaluations],
            "summaries": [artifact.ref for artifact in self.summaries],
            "data": [str(group.dataset.root) if group.dataset else None for group in self.groups],
            "title": self.title,
            "settings": {
                "queries": self.queries,
                "pictures": self.pictures,
                "heat_maps": self.heat_maps,
                "map_people": self.people,
                "most_bytes": self.most_bytes,
            },
            "writes": f"report/{self.name}",
        }


def plan_report(
    refs: Sequence[str],
    store: Store,
    *,
    data: Sequence[Path] = (),
    name: str | None = None,
    title: str | None = None,
    queries: int = 60,
    pictures: bool = True,
    heat_maps: int = 0,
    people: int = 10,
    most_megabytes: float = 32,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    say: Say = lambda text: None,
) -> ReportJob:
    """Decide what a page shows.

    Args:
        refs: evaluations; none takes the newest. A summary stands for the evaluations that it summarises.
        data: where data sets lie now.
        pictures: False leaves them out, and takes data that is gone or changed as nothing.

    Raises:
        UserError: anything that does not fit.
    """
    pick_device(device)
    evaluations, summaries = choose_evaluations(refs, store, say)
    groups = group_by_data(evaluations, data, say, strict=pictures)
    first, more = (summaries or evaluations)[0], len(evaluations) - 1
    several = bool(more) and not summaries
    called = check_name(name or safe_name(f"{first.name}-and-{more}-more" if several else first.name))
    shown = title or (f"{first.ref} and {more} more" if several else first.ref)
    limits = (queries, pictures, heat_maps, people, int(most_megabytes * 1e6))
    return ReportJob(store, groups, summaries, called, shown, *limits, seed, device, workers, say)


def make_report(job: ReportJob, progress: Progress = lambda what, done, total: None) -> Artifact:
    """Compute the page and commit its artifact.

    Raises:
        WorkError: a damaged evaluation, or a picture that cannot be read. UserError: see `reidclip.stages.report_pictures`.
    """
    with job.store.create("report", job.name) as draft:
        built = [build_group(group, job, progress) for group in job.groups]
        contents, left_out, height = _contents(job, built, progress)
        page = render(contents)
        draft.write(PAGE, page)
        shown = sum(uri is not None for uri in contents.pictures)
        draft.describe(
            config=job.plan(),
            seed=job.seed,
            inputs=[InputRef.of(artifact, role="evaluation") for artifact in (*job.evaluations, *job.summaries)],
            metrics={"bytes": len(page), "pictures": shown, "picture_height": height},
            notes=contents.notes,
            device=pick_device(job.device),
        )
        if left_out:
            job.say(f"note: {left_out} pictures are left out: the page would be larger than --max-size allows")
    return draft.artifact


def _contents(job: ReportJob, built: Sequence[Built], progress: Progress) -> tuple[Contents, int, int]:
    """All groups with their pictures numbered through, and how many pictures found no room."""
    readers = [read for one in built for read in one.readers]
    uris, height = thumbnails(readers, job.most_bytes, lambda done, total: progress("pictures", done, total)) if readers else ([], 0)
    groups, start = [], 0
    for one in built:
        groups.append(_numbered(one, start))
        start += len(one.readers)
    left_out = sum(uri is None for uri in uris)
    notes = [f"{left_out} pictures are left out to keep the page small; their paths stand in their places."] if left_out else []
    reads = [Read(artifact) for artifact in job.evaluations]
    contents = Contents(
        title=job.title,
        created=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        version=__version__,
        groups=tuple(groups),
        pictures=tuple(uris),
        averages=tuple(averages_of(summary) for summary in job.summaries),
        settings=settings_of(reads, job.store),
        lineage=tuple(job.store.lineage(artifact) for artifact in (*job.summaries, *job.evaluations)),
        environments=tuple(environment_of(artifact) for artifact in job.evaluations),
        notes=tuple(notes),
    )
    return contents, left_out, height


def _numbered(built: Built, start: int) -> GroupView:
    """A group whose pictures begin at ``start`` in the page: items first, then overlays of heat maps."""
    view = built.view
    items = tuple(replace(item, picture=None if item.picture is None else item.picture + start) for item in view.items)
    heat = tuple(
        replace(
            one, item=replace(one.item, picture=_moved(one.item.picture, start)), overlays=tuple(place + start for place in one.overlays)
        )
        for one in view.heat
    )
    return replace(view, items=items, heat=heat)


def _moved(place: int | None, start: int) -> int | None:
    return None if place is None else place + start
