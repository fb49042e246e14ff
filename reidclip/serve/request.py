"""A search as it is asked for, read from the form's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reidclip.errors import UserError
from reidclip.gallery.filters import seconds_of
from reidclip.gallery.query import Filter
from reidclip.serve.refusal import Refusal
from reidclip.serve.settings import ServeSettings

FIELDS: Mapping[str, str] = {
    "item": "Key of an item of the gallery, in place of a picture.",
    "camera": "Camera that may answer; may be repeated.",
    "not_camera": "Camera that may not answer; may be repeated.",
    "domain": "Data set that may answer; may be repeated.",
    "after": "Seconds, or ISO 8601 (UTC where it names no zone); inclusive.",
    "before": "Seconds, or ISO 8601; inclusive.",
    "clothes": "Class of clothes that may answer; may be repeated.",
    "other_clothes": "true: items in the query's own clothes do not answer.",
    "query_clothes": "Class of the query's clothes, where it is known better than the server could tell.",
    "top": "How many answers, from 1. Default: 20.",
    "rerank": "true: order the best candidates anew by k-reciprocal neighbours.",
    "expand": "Ask again with the mean of the query and so many of its nearest. Default: 0.",
}
LISTS = ("camera", "not_camera", "domain", "clothes")
DEFAULT_TOP = 20
MOST_EXPANDED = 50
_LARGEST = 2**31
_LONGEST_TIME = 60  # characters


@dataclass(frozen=True)
class SearchRequest:
    """One search, checked.

    Attributes:
        item: key of the query, None where a picture was sent.
        wanted: the filters, without what depends on the query's clothes.
        other_clothes: leave out the query's own clothes.
        query_clothes: their class, None where it is to be found out.
        top: answers.
        rerank, expand: see `reidclip.gallery.gallery.Gallery.search`.
    """

    item: str | None
    wanted: Filter
    other_clothes: bool
    query_clothes: int | None
    top: int
    rerank: bool
    expand: int


def read_request(fields: Mapping[str, Sequence[str]], settings: ServeSettings) -> SearchRequest:
    """Check the form's fields; empty ones count as not given.

    Raises:
        Refusal: 400 for an unknown field, or a value that does not fit.
    """
    given = {name: [v for value in values if (v := value.strip())] for name, values in fields.items()}
    unknown = sorted(given.keys() - FIELDS.keys())
    if unknown:
        raise Refusal(400, f"There is no field '{unknown[0][:40]}' of a search.", f"Fields: picture, {', '.join(FIELDS)}.")
    one = {name: _one(name, values) for name, values in given.items() if name not in LISTS and values}
    wanted = Filter(
        cameras=_numbers("camera", given),
        not_cameras=_numbers("not_camera", given),
        domains=tuple(given.get("domain", ())),
        clothes=_numbers("clothes", given),
        after=_seconds("after", one),
        before=_seconds("before", one),
    )
    if wanted.after is not None and wanted.before is not None and wanted.after > wanted.before:
        raise Refusal(400, "The time to search from lies after the time to search until.", "Swap them, or leave one out.")
    other = _switch("other_clothes", one)
    if "query_clothes" in one and not other:
        raise Refusal(400, "Field 'query_clothes' belongs to 'other_clothes'.", "Add other_clothes=true, or leave it out.")
    return SearchRequest(
        item=one.get("item"),
        wanted=wanted,
        other_clothes=other,
        query_clothes=_number("query_clothes", one["query_clothes"], 0, _LARGEST) if "query_clothes" in one else None,
        top=_number("top", one.get("top", str(DEFAULT_TOP)), 1, settings.max_top),
        rerank=_switch("rerank", one),
        expand=_number("expand", one.get("expand", "0"), 0, MOST_EXPANDED),
    )


def _one(name: str, values: Sequence[str]) -> str:
    if len(values) > 1:
        raise Refusal(400, f"Field '{name}' is given {len(values)} times.", "Give it once.")
    return values[0]


def _numbers(name: str, given: Mapping[str, Sequence[str]]) -> tuple[int, ...]:
    return tuple(_number(name, value, 0, _LARGEST) for value in given.get(name, ()))


def _number(name: str, value: str, least: int, most: int) -> int:
    if value.isascii() and value.isdecimal() and len(value) < 12 and least <= int(value) <= most:
        return int(value)
    raise Refusal(400, f"Field '{name}' is no whole number from {least} to {most}.", "Give such a number.")


def _seconds(name: str, one: Mapping[str, str]) -> float | None:
    if name not in one:
        return None
    if len(one[name]) > _LONGEST_TIME:
        raise Refusal(400, f"Field '{name}' is longer than any time.", "Write seconds (90.5), or 2024-05-01T13:30:00 (UTC).")
    try:
        return seconds_of(one[name], name)
    except UserError as error:
        raise Refusal.of(error) from None


def _switch(name: str, one: Mapping[str, str]) -> bool:
    value = one.get(name, "false").lower()
    if value not in ("true", "false", "1", "0", "on", "off"):
        raise Refusal(400, f"Field '{name}' is neither true nor false.", "Give one of them.")
    return value in ("true", "1", "on")
