"""What ``reidclip evaluate --task shape`` prints: errors beside those of the mean body, and the words of a predicted body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reidclip.bodies.phrases import PAIRS, REPORTED
from reidclip.cli.console import console

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact

_WAYS = {"single": "one picture alone", "mean_of_person": "mean shape over a person's pictures"}
_TITLES = {
    "vertex_mm": ("per-vertex, root as placed", "mm"),
    "vertex_aligned_mm": ("per-vertex, means aligned", "mm"),
    "chamfer_l2_cm2": ("Chamfer-L2, means aligned", "cm2"),
    "surface_mm": ("surface to surface", "mm"),
    "words_wrong": ("words wrong", "%"),
}
_UNITS = {"_m": ("mm", 1000.0), "_kg": ("kg", 1.0)}  # ending of a measurement's name -> unit shown, factor


def print_shape(artifact: Artifact, metrics: Mapping[str, Any], what: str) -> None:
    """The table of errors, then that of words and the measurements that decide them."""
    console.print(_errors(artifact, metrics, what))
    console.print(_words(metrics["mean_of_person"]))


def _errors(artifact: Artifact, metrics: Mapping[str, Any], what: str) -> Any:
    from rich import box
    from rich.table import Table

    single = metrics["single"]
    judged, of = single["bodies"], single["of_pictures"]
    some = f"{judged} of {of} pictures, spread over all" if judged < of else f"{of} pictures"
    surfaces = [metrics[way]["errors"].get("surface_mm") for way in _WAYS]
    counted = " and ".join(str(row["bodies"]) for row in surfaces if row)
    floor = next((row["floor"] for row in surfaces if row), None)
    least = "" if floor is None else f"; surfaces of {counted} bodies: one surface drawn twice is {floor:.1f} mm from itself"
    caption = (
        f"{some} of {single['people']} held-out people; ratio: to the mean of the training bodies, below 1 is better; brackets: "
        f"bootstrap 95% interval over people; bias: mean of predicted less true{least}"
    )
    table = Table(title=f"{artifact.ref}: {what}", caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    for column in ("error", "unit", "value", "mean body", "ratio", "bias"):
        table.add_column(column, justify="left" if column in ("error", "unit") else "right", no_wrap=column != "value")
    for way, title in _WAYS.items():
        table.add_section()
        table.add_row(title, style="bold")
        for name in (*list(_TITLES)[:-1], *REPORTED, "words_wrong"):
            if name in metrics[way]["errors"]:
                table.add_row(*_row(name, metrics[way]["errors"][name]))
    return table


def _row(name: str, row: Mapping[str, Any]) -> list[str]:
    if name in _TITLES:
        title, unit = _TITLES[name]
        factor = 100.0 if unit == "%" else 1.0
    else:
        title, unit, factor = shown_unit(name)
    bias = f"{factor * row['bias']:+.3g}" if "bias" in row else ""
    value = f"{_digits(factor * row['value'])}{_brackets(row['interval'], factor, '.3g')}"
    return [f"  {title}", unit, value, _digits(factor * row["mean_body"]), _ratio(row), bias]


def shown_unit(name: str) -> tuple[str, str, float]:
    """A measurement's title, the unit that it is shown in, and the factor to it: ``("stature", "mm", 1000.0)``."""
    for ending, (unit, factor) in _UNITS.items():
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " "), unit, factor
    return name.replace("_", " "), "", 1.0


def _words(mean: Mapping[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    caption = "of the mean shape over a person's pictures; a pair's measurement against the population's median decides its word"
    table = Table(caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    for column in ("words", "right, %", "mean body", "decided by", "error", "mean body", "ratio"):
        table.add_column(column, justify="left" if column in ("words", "decided by") else "right", no_wrap=True)
    for pair, (words, found) in zip(PAIRS, mean["words"].items(), strict=True):
        row = mean["errors"][pair.measure]
        title, unit, factor = shown_unit(pair.measure)
        shares = [f"{100 * found[key]:.0f}" for key in ("right", "mean_body")]
        errors = [_digits(factor * row[key]) for key in ("value", "mean_body")]
        table.add_row(words, *shares, ", ".join(filter(None, (title, unit))), *errors, _ratio(row, False))
    return table


def _ratio(row: Mapping[str, Any], interval: bool = True) -> str:
    if row["ratio"] is None:
        return "-"
    return f"{row['ratio']:.2f}{_brackets(row['ratio_interval'], 1.0, '.2f') if interval else ''}"


def _brackets(interval: Sequence[float] | None, factor: float, form: str) -> str:
    return "" if interval is None else f" \\[{factor * interval[0]:{form}}, {factor * interval[1]:{form}}]"


def _digits(value: float) -> str:
    return f"{value:.3g}"
