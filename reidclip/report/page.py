"""Puts a page together: one file without network, whose policy lets nothing run but its own script."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from reidclip.report import origins
from reidclip.report.contents import Contents, GroupView
from reidclip.report.lists import data_of, has_lists, ranked_lists
from reidclip.report.markup import Html, element, joined, json_block, text
from reidclip.report.results import distances, heat_maps, maps, plain_table, ranked_again, results


def render(contents: Contents) -> bytes:
    """The page as UTF-8."""
    style, script = _part("page.css"), _part("page.js")
    sections = _sections(contents)
    links = [element("li", element("a", title, href=f"#{name}")) for name, title, _ in sections]
    count = sum(len(group.evaluations) for group in contents.groups)
    facts = f"{count} evaluation{'s' if count > 1 else ''}, {len(contents.groups)} data set{'s' if len(contents.groups) > 1 else ''}"
    values = {
        "title": text(contents.title),
        "version": text(contents.version),
        "facts": text(f"{facts}. Made {contents.created} by reidclip {contents.version}."),
        "notes": _notes(contents.notes),
        "navigation": element("ul", *links),
        "main": joined(*(element("section", element("h2", title), body, id=name) for name, title, body in sections)),
        "footer": text("Everything on this page is in this one file: it asks no network for anything."),
        "data": json_block({"pictures": list(contents.pictures), "groups": [data_of(g) for g in contents.groups]}, "report-data"),
        "style": style,
        "script": script,
        "style-hash": _hash(style),
        "script-hash": _hash(script),
    }
    # One pass: what stands in a value is never looked at again.
    page = re.sub(r"\{\{([a-z-]+)\}\}", lambda found: values[found[1]], _part("page.html"))
    return page.encode()


def _sections(contents: Contents) -> list[tuple[str, str, Html]]:
    """(anchor, title, content) of every section that has content."""
    found: list[tuple[str, str, Html | None]] = []
    if contents.averages:
        found.append(("averages", "Averages", joined(*(plain_table(table) for table in contents.averages))))
    several = len(contents.groups) > 1
    for number, group in enumerate(contents.groups):
        where = f" on {group.title}" if several else ""
        found.append((f"results-{number}", f"Results{where}", joined(_notes(group.notes), results(group))))
        found.append((f"ranked-{number}", f"Ranked lists{where}", _lists(group, number)))
        found.append((f"distances-{number}", f"Distances of pairs{where}", distances(group)))
        found.append((f"map-{number}", f"Map of people{where}", maps(group)))
        found.append((f"heat-{number}", f"Heat maps{where}", heat_maps(group, contents.pictures)))
    found.append(("settings", "Settings", origins.settings(contents)))
    found.append(("lineage", "Lineage", origins.lineage(contents.lineage)))
    found.append(("origin", "Data and environment", joined(origins.data_sets(contents.groups), origins.environments(contents))))
    return [(name, title, content) for name, title, content in found if content is not None]


def _lists(group: GroupView, number: int) -> Html | None:
    if not has_lists(group):
        return None
    told = (
        "The query on the left, then the nearest gallery pictures; those that the protocol ignores are left out. "
        "Green with ✓: the same person. Red with ✗: another one."
    )
    if again := ranked_again(group):
        told += f" Lists, curves and distances are of the plain ranking, also where the table has {' and '.join(again)} rows."
    script = element("noscript", element("p", "Ranked lists need JavaScript, which this page runs from this file alone.", class_="note"))
    return joined(element("p", told, class_="note"), script, ranked_lists(group, number))


def _notes(notes: tuple[str, ...]) -> Html:
    return element("ul", *(element("li", note) for note in notes), class_="notes") if notes else joined()


def _part(name: str) -> str:
    return resources.files("reidclip.report").joinpath(name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
