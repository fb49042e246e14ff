"""Numbers and charts of one data set: tables with intervals, CMC curves, distances, maps, heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reidclip.report.charts import cmc_chart, group_name, histogram_chart, map_chart, series_class
from reidclip.report.contents import GroupView, Item, ProtocolView, Table
from reidclip.report.digits import digits_of
from reidclip.report.markup import Html, element, joined

SHARES = ("R1", "R5", "R10", "R20", "mAP", "mINP")


def results(group: GroupView) -> Html:
    """One table of all protocols, and their CMC curves."""
    heads = [element("th", name, scope="col", class_="number") for name in (*SHARES, "queries", "gallery")]
    table = element(
        "table",
        element("thead", element("tr", element("th", "evaluation", scope="col"), heads)),
        *(_protocol(group, protocol) for protocol in group.protocols),
    )
    told = "Percent; brackets: bootstrap 95 % interval over queries."
    told += " Bold: the best of several evaluations, by plain ranking." if len(group.evaluations) > 1 else ""
    if any(metrics and metrics.get("published") for protocol in group.protocols for metrics in protocol.metrics):
        told += " Beside published numbers, in parentheses: the evaluation less the published one."
    figures = [_curves(group, protocol) for protocol in group.protocols]
    return joined(
        element("p", told, class_="note"),
        scrolling(table, f"Results on {group.title}"),
        element("h3", "CMC: queries whose first match has this rank or a better one"),
        element("div", figures, class_="figures"),
    )


def _protocol(group: GroupView, protocol: ProtocolView) -> Html:
    rows = []
    best = {share: _best(protocol, share) for share in SHARES}
    for number, (ref, metrics) in enumerate(zip(group.evaluations, protocol.metrics, strict=True)):
        if metrics is None:
            continue
        rows.append(_row(joined(sign(number), ref), metrics, best))
        if published := metrics.get("published"):
            rows.append(_published(published))
        rows += [_row(joined(f"{ref}, {way}"), part, {}, "way") for way, part in _ways(metrics).items()]
    told = " ".join(part for part in (protocol.note, f"{protocol.rule}." if protocol.rule else "") if part)
    note = element("span", told, class_="of") if told else None
    head = element("tr", element("th", protocol.name, note, scope="rowgroup", colspan=len(SHARES) + 3))
    return element("tbody", head, rows, class_="protocol")


def _ways(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Numbers of a ranking done again, by its name."""
    return {way: part for way, part in metrics.items() if way != "published" and isinstance(part, Mapping) and "R1" in part}


def ranked_again(group: GroupView) -> list[str]:
    """Names of the further rankings whose numbers stand in a group's table: "expanded", "reranked"."""
    return list(dict.fromkeys(way for protocol in group.protocols for metrics in protocol.metrics for way in _ways(metrics or {})))


def _curves(group: GroupView, protocol: ProtocolView) -> Html | None:
    curves = [(n, group.evaluations[n], curve) for n, curve in enumerate(protocol.curves) if curve is not None]
    if not curves:
        return None
    legend = element("ul", *(element("li", sign(n), name) for n, name, _ in curves), class_="legend") if len(curves) > 1 else None
    return _figure(cmc_chart(curves, f"CMC under {protocol.name}"), protocol.name, legend)


def _row(name: Html, metrics: Mapping[str, Any], best: Mapping[str, float | None], class_: str | None = None) -> Html:
    cells = []
    for share in SHARES:
        value, interval = metrics.get(share), metrics.get(f"{share}_interval")
        told = "–" if value is None else f"{100 * value:.1f}"
        top = value is not None and best.get(share) == value
        brackets = element("span", f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]", class_="interval") if interval else None
        cells.append(element("td", element("strong", told) if top else told, brackets, class_="number"))
    queries = f"{metrics.get('valid', '–')}" + (f" of {metrics['queries']}" if metrics.get("skipped") else "")
    counts = [element("td", value, class_="number") for value in (queries, metrics.get("gallery", "–"))]
    return element("tr", element("th", name, scope="row"), cells, counts, class_=class_)


def _published(published: Mapping[str, Any]) -> Html:
    source = ", ".join(str(published[key]) for key in ("method", "recipe", "source", "note") if published.get(key))
    cells = []
    for share in SHARES:
        value = published.get(share)
        difference = published.get("difference", {}).get(share)
        told = "–" if value is None else f"{100 * value:.1f}" + ("" if difference is None else f" ({100 * difference:+.1f})")
        cells.append(element("td", told, class_="number"))
    return element(
        "tr", element("th", f"published: {source}", scope="row"), cells, element("td", ""), element("td", ""), class_="published"
    )


def _best(protocol: ProtocolView, share: str) -> float | None:
    """The best of several; nothing to mark where there is but one."""
    known = [m[share] for m in protocol.metrics if m is not None and m.get(share) is not None]
    return max(known) if len(known) > 1 else None


# ---------------------------------------------------------------------------------------------------------------- distances
def distances(group: GroupView) -> Html | None:
    """Histograms, one per protocol and evaluation; None where there are none."""
    figures = []
    for protocol in group.protocols:
        for ref, pairs in zip(group.evaluations, protocol.distances, strict=True):
            if pairs is None:
                continue
            total = pairs.counts.sum(axis=1)
            digits = digits_of([float(pairs.edges[0]), float(pairs.edges[-1])])
            legend = element(
                "ul",
                *(
                    element(
                        "li",
                        element("span", class_=f"swatch g{i}", aria_hidden="true"),
                        f"{group_name(pairs, i)}: mean {mean:.{digits}f}, {n} pairs",
                    )
                    for i, (mean, n) in enumerate(zip(pairs.means, total.tolist(), strict=True))
                    if mean is not None
                ),
                class_="legend",
            )
            title = f"{protocol.name}, {ref}"
            figures.append(_figure(histogram_chart(pairs, title, "distance"), title, legend))
    return element("div", figures, class_="figures") if figures else None


def maps(group: GroupView) -> Html | None:
    """Features of some people in the plane, one map per evaluation; None where there are none."""
    figures = [
        _figure(map_chart(found, ref), f"{ref}, by {found.way}")
        for ref, found in zip(group.evaluations, group.maps, strict=False)
        if found is not None
    ]
    told = element(
        "p",
        "A colour per person, a shape per outfit: what a model sees of people gathers colours, what it sees of clothes shapes.",
        class_="note",
    )
    return joined(told, element("div", figures, class_="figures")) if figures else None


# ---------------------------------------------------------------------------------------------------------------- heat maps
def heat_maps(group: GroupView, pictures: Sequence[str | None]) -> Html | None:
    """Queries and where the checkpoints' features come from; None where none were asked for."""
    if not group.heat:
        return None
    figures = []
    for one in group.heat:
        shown = [_picture(pictures, one.item.picture, f"query {one.item.path}")]
        shown += [_picture(pictures, place, f"heat map of {name}") for place, name in zip(one.overlays, group.heat_of, strict=True)]
        figures.append(element("figure", element("div", shown, class_="row"), element("figcaption", labels_of(one.item)), class_="heat"))
    told = f"From left to right: the query, {', '.join(group.heat_of)}. Bright is where the feature comes from; all share one scale."
    return joined(element("p", told, class_="note"), element("div", figures, class_="heats"))


def _picture(pictures: Sequence[str | None], place: int | None, alt: str) -> Html:
    uri = None if place is None else pictures[place]
    return element("img", src=uri, alt=alt) if uri else element("span", alt, class_="missing")


def labels_of(item: Item) -> str:
    """Person, camera and clothes in words, those that are known."""
    parts = [f"person {item.pid}" if item.pid >= 0 else "unknown person"]
    parts += [f"camera {item.camera}"] if item.camera is not None else []
    parts += [f"clothes {item.clothes}"] if item.clothes is not None else []
    return ", ".join(parts)


# ---------------------------------------------------------------------------------------------------------------- pieces
def scrolling(table: Html, name: str) -> Html:
    """A table in a box that scrolls by itself, by keyboard too."""
    return element("div", table, class_="scroll", role="region", aria_label=name, tabindex=0)


def sign(number: int) -> Html:
    """The evaluation's colour and dash, before its name."""
    line = element("line", x1=1, x2=25, y1=5, y2=5, class_=f"line {series_class(number)}")
    return element("svg", line, viewBox="0 0 26 10", class_="sign", aria_hidden="true")


def plain_table(table: Table) -> Html:
    """Rows of values; the first column is what they are of."""
    heads = element("tr", element("th", "", scope="col"), *(element("th", name, scope="col") for name in table.columns))
    rows = [element("tr", element("th", key, scope="row"), *(element("td", value) for value in values)) for key, values in table.rows]
    box = scrolling(element("table", element("thead", heads), element("tbody", rows)), table.title)
    return joined(element("p", table.title, class_="note"), box)


def _figure(chart: Html, caption: str, *more: Html | None) -> Html:
    return element("figure", element("figcaption", caption), chart, *more)
