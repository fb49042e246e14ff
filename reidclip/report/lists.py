"""Ranked lists: the controls as they stand in the page, and the data that its script makes the lists of."""

from __future__ import annotations

from typing import Any

from reidclip.report.contents import Found, GroupView, ProtocolView
from reidclip.report.digits import digits_of
from reidclip.report.markup import Html, element
from reidclip.report.results import labels_of

FILTERS = (
    ("all", "all shown"),
    ("best", "best"),
    ("worst", "worst"),
    ("random", "random"),
    ("clothes", "cloth-changing: found in other clothes"),
    ("wrong", "first answer wrong"),
    ("differ", "evaluations differ"),
)


def has_lists(group: GroupView) -> bool:
    """Whether there is a query to show."""
    return any(protocol.queries for protocol in group.protocols)


def ranked_lists(group: GroupView, number: int) -> Html:
    """The box of one data set's lists; ``number`` tells several boxes apart."""
    prefix = f"lists-{number}"
    shown = [(str(place), protocol.name) for place, protocol in enumerate(group.protocols) if protocol.queries]
    filters = [f for f in FILTERS if _applies(f[0], group)]
    controls = [
        _radios(f"{prefix}-protocol", "Protocol", shown),
        _radios(f"{prefix}-filter", "Queries", filters),
        _fields(group, prefix),
    ]
    return element(
        "div",
        element("form", controls, class_="controls", aria_label=f"Which ranked lists of {group.title}"),
        element("p", element("output", id=f"{prefix}-count", aria_live="polite"), class_="count"),
        element("ol", id=f"{prefix}-list", class_="queries"),
        element("button", "Show more", type="button", id=f"{prefix}-more", class_="more", hidden=True),
        class_="lists",
        data_group=number,
    )


def _applies(name: str, group: GroupView) -> bool:
    if name == "differ":
        return len(group.evaluations) > 1
    if name == "clothes":
        return any(count is not None for protocol in group.protocols for count in protocol.other_clothes)
    return True


def _radios(name: str, legend: str, choices: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Html:
    inputs = []
    for place, (value, told) in enumerate(choices):
        identity = f"{name}-{value}"
        box = element("input", type="radio", name=name, id=identity, value=value, checked=place == 0)
        inputs.append(element("span", box, element("label", told, for_=identity), class_="choice"))
    return element("fieldset", element("legend", legend), inputs)


def _fields(group: GroupView, prefix: str) -> Html:
    def field(name: str, label: str, **attributes: Any) -> Html:
        identity = f"{prefix}-{name}"
        return element("span", element("label", label, for_=identity), element("input", id=identity, **attributes), class_="field")

    share = {"type": "number", "min": 0, "max": 100, "step": 1, "inputmode": "numeric"}
    fields = [
        field("low", "AP from, %", value=0, **share),
        field("high", "to, %", value=100, **share),
        field("person", "Person", type="search", placeholder="number", size=8, autocomplete="off"),
    ]
    if len(group.evaluations) > 1:
        choices = [element("option", ref, value=i) for i, ref in enumerate(group.evaluations)]
        order = element("select", element("option", "mean of all", value="mean"), choices, id=f"{prefix}-by")
        fields.append(element("span", element("label", "AP of", for_=f"{prefix}-by"), order, class_="field"))
    return element("fieldset", element("legend", "Average precision and person"), fields)


def data_of(group: GroupView) -> dict[str, Any]:
    """What the script reads: items, and per protocol the queries with their lists."""
    return {
        "title": group.title,
        "evaluations": list(group.evaluations),
        "items": [[i.path, i.pid, i.camera, i.clothes, i.picture, labels_of(i)] for i in group.items],
        "protocols": [_protocol(p) for p in group.protocols],
    }


def _protocol(protocol: ProtocolView) -> dict[str, Any]:
    queries = []
    for query in protocol.queries:
        found = [
            None if f is None else {"ap": round(f.precision, 6), "rank": f.first_rank, "n": f.matches, **_list(f)} for f in query.found
        ]
        queries.append({"item": query.item, "tags": list(query.tags), "found": found})
    return {"name": protocol.name, "valid": protocol.valid, "clothes": list(protocol.other_clothes), "queries": queries}


def _list(found: Found) -> dict[str, Any]:
    """Answers, (item, distance, 1 for a match), and to how many digits after the point distances are told."""
    digits = digits_of([distance for _, distance, _ in found.answers])
    return {"digits": digits, "list": [[item, round(distance, digits), int(match)] for item, distance, match in found.answers]}
