"""One data set's part of a page, computed: protocols, maps, heat maps, and the pictures that it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reidclip.data.join import is_distractor
from reidclip.evaluation.diagnostics.project import choose_people, project
from reidclip.evaluation.protocols import required_samples
from reidclip.records import Dataset, Sample
from reidclip.report.choose import BEST, WORST
from reidclip.report.contents import FeatureMap, GroupView, HeatMap, ProtocolView
from reidclip.stages.report_choose import Group
from reidclip.stages.report_heat import Drawn, draw_heat_maps
from reidclip.stages.report_pictures import Read as ReadPicture
from reidclip.stages.report_pictures import readers
from reidclip.stages.report_protocols import Items, as_evaluated, item_of, view_protocol
from reidclip.stages.report_read import Read

if TYPE_CHECKING:
    from reidclip.stages.report import ReportJob

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Built:
    """A group, and functions that decode its pictures; its items and heat maps name them by their places here."""

    view: GroupView
    readers: tuple[ReadPicture, ...]


def build_group(group: Group, job: ReportJob, progress: Progress) -> Built:
    """Everything of one data set that a page shows, its pictures still to be decoded."""
    reads = [Read(artifact) for artifact in group.artifacts]
    names = list(dict.fromkeys(name for read in reads for name in read.metrics))
    items, protocols = Items(), []
    for number, name in enumerate(names):
        protocols.append(view_protocol(name, reads, group.dataset, items, job.queries, job.seed))
        progress("protocols", number + 1, len(names))
    view = GroupView(
        title=group.dataset.name if group.dataset else _title(group),
        evaluations=tuple(read.ref for read in reads),
        dataset=group.made,
        protocols=tuple(protocols),
        items=tuple(items.all),
        maps=tuple(_map(read, group.dataset, job) for read in reads) if group.dataset else (),
        notes=group.notes,
    )
    if group.dataset is None or not job.pictures:
        return Built(view, ())
    return _with_pictures(view, group, group.dataset, items, job, progress)


def _title(group: Group) -> str:
    return group.made.root.rstrip("/\\").replace("\\", "/").rpartition("/")[2] if group.made else "unknown data"


def _map(read: Read, dataset: Dataset, job: ReportJob) -> FeatureMap | None:
    """Of the people with the most outfits among those that were compared."""
    protocols = [as_evaluated(p, read) for p in dataset.protocols if p.name in read.metrics]
    samples = [s for s in required_samples(dataset, protocols) if not is_distractor(dataset, s)]
    chosen = [samples[i] for i in choose_people(samples, job.people)] if job.people else []
    if len(chosen) < 2:
        return None
    points, way = project(read.features.of(chosen), job.seed)
    return FeatureMap("t-SNE" if way == "t-sne" else "principal components", points, tuple(item_of(s) for s in chosen))


def _with_pictures(view: GroupView, group: Group, dataset: Dataset, items: Items, job: ReportJob, progress: Progress) -> Built:
    read = readers(dataset, items.samples, group.artifacts, job.store, job.say)
    shown = replace(view, items=tuple(replace(item, picture=place) for place, item in enumerate(view.items)))
    if not job.heat_maps:
        return Built(shown, tuple(read))
    places = _for_heat(view, job.heat_maps)
    samples: list[Sample] = [items.samples[place] for place in places]
    drawn = draw_heat_maps(
        dataset,
        samples,
        [read[place] for place in places],
        group.artifacts,
        job.store,
        device=job.device,
        workers=job.workers,
        say=job.say,
        progress=lambda done, total: progress("heat maps", done, total),
    )
    return Built(shown, tuple(read)) if drawn is None else _with_heat(shown, read, places, drawn)


def _with_heat(view: GroupView, read: Sequence[ReadPicture], places: Sequence[int], drawn: Drawn) -> Built:
    heat: list[HeatMap] = []
    added: list[ReadPicture] = []
    for place, overlays in zip(places, drawn.overlays, strict=True):
        first = len(read) + len(added)
        added += overlays
        heat.append(HeatMap(view.items[place], tuple(range(first, first + len(overlays)))))
    return Built(replace(view, heat=tuple(heat), heat_of=drawn.checkpoints), (*read, *added))


def _for_heat(view: GroupView, count: int) -> list[int]:
    """Items of queries: of the hardest protocol (the lowest mAP) the worst, the best, then others, in turn; new people first."""
    if not view.protocols:
        return []

    def precision(protocol: ProtocolView) -> float:
        return min((m["mAP"] if m.get("mAP") is not None else m["R1"] for m in protocol.metrics if m), default=1.0)

    queries = min(view.protocols, key=precision).queries
    kinds = [[q.item for q in queries if tag in q.tags] for tag in (WORST, BEST)]
    kinds.append([q.item for q in queries if not {WORST, BEST} & set(q.tags)])
    in_turn = [kind[i] for i in range(max(map(len, kinds), default=0)) for kind in kinds if i < len(kind)]
    people: dict[int, int] = {}
    for item in in_turn:
        people.setdefault(view.items[item].pid, item)
    return list(dict.fromkeys([*people.values(), *in_turn]))[:count]
