"""Where results come from: settings side by side, lineage, data sets, environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reidclip.artifacts.lineage import LineageNode
from reidclip.counted import counted
from reidclip.report.contents import Contents, GroupView, Table
from reidclip.report.markup import Html, element, joined
from reidclip.report.results import plain_table, scrolling

_STATES = {"missing": "no longer in the store", "changed": "changed since"}


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Nested settings as ``a.b`` -> text; tables that are empty are left out, lists stand as one text."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            found.update(flat(value, f"{name}."))
        elif isinstance(value, (list, tuple)):
            found[name] = ", ".join(str(v) for v in value)
        else:
            found[name] = "" if value is None else str(value)
    return found


def settings_table(title: str, columns: Sequence[str], settings: Sequence[Mapping[str, Any] | None]) -> Table:
    """Keys of all of them in the order in which they are met, with the values of each."""
    flattened = [{} if one is None else flat(one) for one in settings]
    keys = dict.fromkeys(key for one in flattened for key in one)
    rows = tuple((key, tuple(one.get(key, "") for one in flattened)) for key in keys)
    return Table(title, tuple(columns), rows)


def settings(contents: Contents) -> Html | None:
    """Tables of settings; rows in which evaluations differ are marked, and stand alone until all are asked for."""
    if not contents.settings:
        return None
    several = len(contents.settings[0].columns) > 1
    differing = sum(_differs(values, _told(table)) for table in contents.settings for _, values in table.rows)
    tables = [_settings_table(table, several) for table in contents.settings]
    told = f"only what differs ({counted(differing, 'row', 'rows')}, marked ≠)"
    box = element("input", type="checkbox", id="only-differences", checked=True)
    choice = element("p", element("span", box, element("label", told, for_="only-differences"), class_="choice"))
    return joined(choice if several and differing else None, element("div", tables, id="settings-tables"))


def _differs(values: Sequence[str], told: Sequence[bool]) -> bool:
    return len({value for value, any_ in zip(values, told, strict=True) if any_}) > 1


def _told(table: Table) -> list[bool]:
    """By column, whether it says anything: what was never trained does not differ in every setting of a training."""
    return [any(values[column] for _, values in table.rows) for column in range(len(table.columns))]


def _settings_table(table: Table, several: bool) -> Html:
    rows, told = [], _told(table)
    for key, values in table.rows:
        differs = _differs(values, told)
        mark = element("span", "≠ ", class_="mark", title="differs") if differs else None
        cells = [element("td", value) for value in values]
        rows.append(element("tr", element("th", mark, key, scope="row"), cells, class_="differs" if differs else "same"))
    heads = element("tr", element("th", "setting", scope="col"), *(element("th", name, scope="col") for name in table.columns))
    body = scrolling(element("table", element("thead", heads), element("tbody", rows)), table.title)
    return element("details", element("summary", f"{table.title} ({counted(len(rows), 'setting', 'settings')})"), body, open=several)


def lineage(trees: Sequence[LineageNode]) -> Html:
    """What each evaluation was made from, as nested lists."""
    return element("ul", *(_node(tree) for tree in trees), class_="tree")


def _node(node: LineageNode) -> Html:
    told: list[Any] = [element("strong", f"{node.kind}/{node.ref}")]
    told.append(f" as {node.role}" if node.role else None)
    told.append(element("em", f" – {_STATES[node.state]}") if node.state in _STATES else None)
    made = node.artifact.manifest if node.artifact else None
    facts = []
    if made is not None:
        facts.append(f"made {made.created:%Y-%m-%d %H:%M} UTC by reidclip {made.toolkit_version}")
        facts += [f"method {made.method} {made.plugin_version or ''}".rstrip()] if made.method else []
        facts += [f"seed {made.seed}"] if made.seed is not None else []
        facts += [f"data {part.root} ({part.layout})" for part in made.dataset.parts] if made.dataset else []
    facts.append(f"SHA-256 {node.digest[:16]}…")
    told.append(element("div", "; ".join(facts), class_="facts"))
    told += [element("div", f"note: {note}", class_="facts") for note in (made.notes if made else ())]
    told += [element("div", element("code", " ".join(made.command)), class_="facts")] if made and made.command else []
    below = element("ul", *(_node(one) for one in node.inputs)) if node.inputs else None
    return element("li", told, below)


def data_sets(groups: Sequence[GroupView]) -> Html:
    """Folder, layout, counts and fingerprint of every data set."""
    rows = []
    for group in groups:
        for part in group.dataset.parts if group.dataset else ():
            splits = ", ".join(f"{name} {count}" for name, count in part.splits.items())
            rows.append((group.title, (part.layout, part.root, str(part.samples), splits, part.fingerprint)))
    return plain_table(
        Table("Data sets as the evaluations read them", ("layout", "folder", "samples", "splits", "fingerprint"), tuple(rows))
    )


def environments(contents: Contents) -> Html:
    """Where each evaluation ran."""
    columns = ("made", "reidclip", "python", "torch", "open_clip", "device", "platform")
    rows = []
    for ref, env, made, version in contents.environments:
        values = (env.python, env.torch or "–", env.open_clip or "–", env.device or "–", env.platform)
        rows.append((ref, (made, version, *values)))
    return plain_table(Table("Where they ran", columns, tuple(rows)))
