"""Which rows of a gallery may answer: filters over what is known of its items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

from reidclip.errors import UserError
from reidclip.gallery.items import Item
from reidclip.gallery.query import Filter


@dataclass(frozen=True)
class Columns:
    """What filters ask of N items, as arrays (N,): a gallery of a million is filtered in milliseconds.

    Attributes:
        cameras, clothes: int64, -1 where unknown.
        times: float64 seconds, NaN where unknown.
        domains: of every item a number into ``domain_names``.
        rows: key -> its rows; a key that was added twice has several.
    """

    cameras: np.ndarray
    clothes: np.ndarray
    times: np.ndarray
    domains: np.ndarray
    domain_names: tuple[str, ...]
    rows: dict[str, list[int]]

    @classmethod
    def of(cls, items: Sequence[Item]) -> Columns:
        """The columns of these items, in their order."""
        names = {name: i for i, name in enumerate(sorted({i.domain for i in items}))}
        rows: dict[str, list[int]] = {}
        for row, item in enumerate(items):
            rows.setdefault(item.key, []).append(row)
        return cls(
            np.array([i.camid for i in items], dtype=np.int64),
            np.array([i.clothes_id for i in items], dtype=np.int64),
            np.array([np.nan if i.time is None else i.time for i in items], dtype=np.float64),
            np.array([names[i.domain] for i in items], dtype=np.int64),
            tuple(names),
            rows,
        )

    def find(self, key: str) -> list[int]:
        """Rows of a key, or of the only key that ends in it at a folder's border: what an item was called before the gallery's root rose.

        Raises:
            UserError: it is the end of several.
        """
        if key in self.rows:
            return self.rows[key]
        longer = [known for known in self.rows if known.endswith(f"/{key}")]
        if len(longer) > 1:
            raise UserError(f"'{key}' is the end of {len(longer)} items' keys.", f"Write one out: {longer[0]} or {longer[1]}.")
        return self.rows[longer[0]] if longer else []

    def allowed(self, wanted: Filter) -> np.ndarray | None:
        """Rows that may answer.

        Returns:
            (N,) bool; None where the filter lets all through.
        """
        if wanted.empty:
            return None
        passes = np.ones(len(self.cameras), dtype=bool)
        if wanted.cameras:
            passes &= np.isin(self.cameras, wanted.cameras)
        if wanted.not_cameras:
            passes &= ~np.isin(self.cameras, wanted.not_cameras)
        if wanted.domains:
            passes &= np.isin(self.domains, [i for i, name in enumerate(self.domain_names) if name in wanted.domains])
        if wanted.clothes:
            passes &= np.isin(self.clothes, wanted.clothes)
        if wanted.not_clothes:
            passes &= ~np.isin(self.clothes, wanted.not_clothes)
            if not wanted.unknown_clothes:
                passes &= self.clothes >= 0
        if wanted.after is not None:
            passes &= self.times >= wanted.after  # NaN compares false: what is of unknown time does not answer
        if wanted.before is not None:
            passes &= self.times <= wanted.before
        for key in wanted.not_items:
            passes[self.rows.get(key, [])] = False
        return passes


_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


def seconds_of(told: str, option: str) -> float:
    """A time as people give it: seconds, or ISO 8601 ("2024-05-01", "2024-05-01T13:30:00+02:00"; UTC where it names no zone).

    Args:
        told: the text.
        option: what it belongs to, for the error.

    Raises:
        UserError: it is neither.
    """
    if _NUMBER.fullmatch(told.strip()):
        return float(told)
    try:
        moment = datetime.fromisoformat(told.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise UserError(
            f"{option} {told}: neither seconds nor a date and time.", "Write seconds (90.5), or 2024-05-01T13:30:00 (UTC)."
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
