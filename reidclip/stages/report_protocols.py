"""One data set's protocols as a page shows them: what several evaluations found, for the queries that were chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidclip.evaluation.protocols import Evaluation, evaluate_protocol
from reidclip.evaluation.ranking import cmc
from reidclip.records import Dataset, Protocol, Rule, Sample
from reidclip.report.answers import Compared
from reidclip.report.choose import choose_queries
from reidclip.report.contents import Found, Item, ProtocolView, Query
from reidclip.report.pair_distances import PairDistances, count_pairs
from reidclip.stages.report_read import RankLine, Read, curve_of

RANKS = 20  # of the CMC curves
ANSWERS = 10  # of a ranked list
IGNORED: Mapping[str, str] = {
    Rule.NONE.value: "Nothing in the gallery is ignored",
    Rule.STD.value: "Ignored: the same person under the query's camera",
    Rule.CC.value: "Ignored: the same person under the query's camera, or in the same clothes",
    Rule.SC.value: "Ignored: the same person under the query's camera, or in other clothes",
}


@dataclass
class Items:
    """Pictures of one data set that a page names, each once; they are numbered as they come."""

    all: list[Item] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    _place: dict[str, int] = field(default_factory=dict)

    def of(self, sample: Sample) -> int:
        """Place of a sample's item."""
        if sample.path not in self._place:
            self._place[sample.path] = len(self.all)
            self.all.append(item_of(sample))
            self.samples.append(sample)
        return self._place[sample.path]


def item_of(sample: Sample) -> Item:
    """The labels that a page tells of."""
    camera = sample.camid if sample.camera is None else sample.camera
    return Item(sample.path, sample.pid, camera if camera >= 0 else None, sample.clothes_id if sample.clothes_id >= 0 else None)


@dataclass(frozen=True)
class _Side:
    """One evaluation under a protocol, ranked again: the same numbers, now with the answers themselves."""

    result: Evaluation
    compared: Compared
    first: NDArray[np.int64]

    @property
    def precision(self) -> NDArray[np.float64]:
        ranking = self.result.rankings[0]
        return np.where(ranking.valid, ranking.average_precision, np.nan)

    @property
    def in_other_clothes(self) -> NDArray[np.bool_]:
        """Whether the first answer is the same person in other, known clothes."""
        pairs = [(q, self.compared.gallery[g] if g >= 0 else None) for q, g in zip(self.compared.query, self.first, strict=True)]
        return np.array(
            [
                g is not None and q.pid == g.pid >= 0 and q.clothes_id != g.clothes_id and min(q.clothes_id, g.clothes_id) >= 0
                for q, g in pairs
            ]
        )


def view_protocol(name: str, reads: Sequence[Read], dataset: Dataset | None, items: Items, count: int, seed: int) -> ProtocolView:
    """A protocol in several evaluations.

    Args:
        dataset: None leaves the ranked lists without answers: queries and their ranks are in the artifacts.
        items: is given the pictures that are shown.
        count: of queries shown.
        seed: of their choice.
    """
    metrics = tuple(read.metrics.get(name) for read in reads)
    rule = next((str(m["rule"]) for m in metrics if m and "rule" in m), "")
    protocol = dataset.protocol(name) if dataset else None
    if dataset is None or protocol is None:
        return _of_tables(name, rule, reads, metrics, items, count, seed)
    sides = tuple(None if m is None else _side(dataset, as_evaluated(protocol, read), read) for m, read in zip(metrics, reads, strict=True))
    alike = _alike(sides)
    known = [side for side in alike if side is not None]
    clothes = all(s.clothes_id >= 0 for s in known[0].compared.query)
    chosen = choose_queries(np.stack([s.precision for s in known]), np.stack([s.in_other_clothes for s in known]), count, seed)
    return ProtocolView(
        name,
        IGNORED.get(rule, rule),
        _note(protocol, alike != sides),
        metrics,
        tuple(None if side is None else _curve(side.result) for side in sides),
        tuple(None if side is None else count_pairs(side.compared) for side in sides),
        _queries(known[0].compared.query, chosen, alike, items),
        int(known[0].result.rankings[0].valid.sum()),
        tuple(int(side.in_other_clothes.sum()) if side is not None and clothes else None for side in alike),
    )


def _side(dataset: Dataset, protocol: Protocol, read: Read) -> _Side:
    result = evaluate_protocol(dataset, protocol, read.features, resamples=0)
    compared = Compared(result.query, result.galleries[0], read.features, protocol.rule)
    return _Side(result, compared, compared.first())


def as_evaluated(protocol: Protocol, read: Read) -> Protocol:
    """Of random divisions those that were averaged."""
    used = read.artifact.manifest.config.get("splits", {}).get(protocol.name)
    return dataclasses.replace(protocol, draws=tuple(used)) if protocol.draws and used else protocol


def _alike(sides: tuple[_Side | None, ...]) -> tuple[_Side | None, ...]:
    """Those that compare what the first of them does: others were averaged over other random divisions, and have other queries."""
    first = next(side.compared for side in sides if side is not None)
    same = [side is not None and (side.compared.query, side.compared.gallery) == (first.query, first.gallery) for side in sides]
    return tuple(side if fits else None for side, fits in zip(sides, same, strict=True))


def _note(protocol: Protocol, some_apart: bool) -> str:
    parts = [protocol.note] if protocol.note else []
    parts += ["Lists and distances are of the first random division."] if len(protocol.draws) > 1 else []
    parts += ["Lists and distances are of the first draw of the gallery."] if protocol.single_shot_repeats else []
    parts += ["Evaluations of other divisions than the first one's have no lists beside it."] if some_apart else []
    return " ".join(parts)


def _curve(result: Evaluation) -> NDArray[np.float64]:
    """Mean over random divisions and draws of the gallery."""
    rankings = [r for part in (result.divisions.values() or (result,)) for r in part.rankings if r.valid.any()]
    ranks = min(RANKS, *(r.gallery for r in rankings)) if rankings else 1
    curve: NDArray[np.float64] = np.mean([cmc(r, ranks) for r in rankings], axis=0)
    return curve


def _queries(
    samples: Sequence[Sample], chosen: Mapping[int, tuple[str, ...]], sides: Sequence[_Side | None], items: Items
) -> tuple[Query, ...]:
    rows = list(chosen)
    found: list[list[Found | None]] = []
    for side in sides:
        if side is None:
            found.append([None] * len(rows))
            continue
        ranking, gallery = side.result.rankings[0], side.compared.gallery
        lists = side.compared.answers(rows, ANSWERS)
        found.append(
            [
                Found(
                    float(ranking.average_precision[row]),
                    int(ranking.first_rank[row]),
                    int(ranking.matches[row]),
                    tuple((items.of(gallery[a.row]), a.distance, a.match) for a in answers),
                )
                for row, answers in zip(rows, lists, strict=True)
            ]
        )
    return tuple(Query(items.of(samples[row]), chosen[row], tuple(f[i] for f in found)) for i, row in enumerate(rows))


# ---------------------------------------------------------------------------------------------------------------- without data
def _of_tables(
    name: str, rule: str, reads: Sequence[Read], metrics: tuple[Mapping[str, Any] | None, ...], items: Items, count: int, seed: int
) -> ProtocolView:
    """From the artifacts' tables alone."""
    tables = [read.ranks(name) if m is not None else [] for m, read in zip(metrics, reads, strict=True)]
    curves = tuple(_curve_of_table(lines, m) for lines, m in zip(tables, metrics, strict=True))
    nothing: tuple[PairDistances | None, ...] = (None,) * len(reads)
    by_path = [{line.path: line for line in lines} for lines in tables]
    paths = [line.path for line in next((lines for lines in tables if lines), [])]
    shared = [path for path in paths if all(path in lines for lines in by_path if lines)]
    queries: tuple[Query, ...] = ()
    if shared and len(set(shared)) == len(shared):
        precision = np.array([[lines[path].precision for path in shared] for lines in by_path if lines])
        chosen = choose_queries(precision, np.zeros_like(precision, dtype=np.bool_), count, seed)
        queries = tuple(_bare(shared[row], tags, by_path, items) for row, tags in chosen.items())
    return ProtocolView(name, IGNORED.get(rule, rule), "", metrics, curves, nothing, queries, len(paths), (None,) * len(reads))


def _curve_of_table(lines: list[RankLine], metrics: Mapping[str, Any] | None) -> NDArray[np.float64] | None:
    return curve_of(lines, min(RANKS, int(metrics.get("gallery", RANKS)))) if lines and metrics else None


def _bare(path: str, tags: tuple[str, ...], tables: Sequence[Mapping[str, RankLine]], items: Items) -> Query:
    lines = [table.get(path) for table in tables]
    pid = next(line.pid for line in lines if line is not None)
    found = tuple(None if line is None else Found(line.precision, line.first_rank, line.matches) for line in lines)
    return Query(items.of(Sample(path, pid, -1, -1, "")), tags, found)
