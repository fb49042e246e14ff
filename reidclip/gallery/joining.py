"""Items of several extractions in one gallery: one root, no item twice, and numbers of clothes that mean one thing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reidclip.artifacts.names import safe_name
from reidclip.gallery.items import Item


@dataclass(frozen=True)
class Place:
    """One root that items came from.

    Attributes:
        root: as it was given.
        domain: what its items are called where they name no domain; "" where the gallery has one root.
        clothes: its own numbers of clothes -> the gallery's, for the same number means other clothes under another root. It outlives
            the items: what is removed and comes again gets the number that it had.
    """

    root: str
    domain: str = ""
    clothes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Joined:
    """A gallery's items after more were added.

    Attributes:
        items: those of before, then what is new.
        root: all paths are relative to it.
        places: all roots.
        fresh: per set the rows that are new.
    """

    items: tuple[Item, ...]
    root: Path
    places: tuple[Place, ...]
    fresh: tuple[tuple[int, ...], ...]


def join(
    items: Sequence[Item], root: Path | None, places: Sequence[Place], sets: Sequence[tuple[Path, Sequence[Item]]], renumber: bool = True
) -> Joined:
    """Add sets of items, each with its root, to those of a gallery (none and None for a new one).

    An item whose key is there already is left out. Of several roots the common one becomes the gallery's, and keys change with it.
    Clothes keep their numbers, unless another root's have them.

    Args:
        renumber: numbers of clothes are labels of the data, which differ by root; False where they are groups over all.
    """
    given = [Path(p.root) for p in places] + [folder for folder, _ in sets]
    common = _common_root(given)
    several = len({_real(folder) for folder in given}) > 1
    known = {_real(Path(p.root)): p for p in places}
    if several:  # what was the only root gets a name now
        known = {real: replace(p, domain=p.domain or _domain(Path(p.root), known)) for real, p in known.items()}
    old = list(items) if root is None or _real(root) == _real(common) else [_moved(i, root, common) for i in items]
    if several and len(places) == 1:
        old = [replace(i, domain=i.domain or known[_real(Path(places[0].root))].domain) for i in old]
    seen = {i.key for i in old}
    numbers = _Numbers(known.values())
    fresh: list[tuple[int, ...]] = []
    for folder, members in sets:
        real = _real(folder)
        if real not in known:
            known[real] = Place(str(folder), _domain(folder, known) if several else "")
        table = dict(known[real].clothes)
        rows = []
        for row, item in enumerate(members):
            mine = _moved(item, folder, common)
            if mine.key in seen:
                continue
            clothes = numbers.of(item.clothes_id, table) if renumber else item.clothes_id
            seen.add(mine.key)
            old.append(replace(mine, domain=mine.domain or known[real].domain, clothes_id=clothes))
            rows.append(row)
        known[real] = replace(known[real], clothes=table)
        fresh.append(tuple(rows))
    return Joined(tuple(old), common, tuple(known.values()), tuple(fresh))


class _Numbers:
    """Numbers of clothes that a gallery has given out."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._taken = {number for p in places for number in p.clothes.values()}
        self._highest = max(self._taken, default=-1)

    def of(self, own: int, table: dict[int, int]) -> int:
        """The gallery's number of a place's own, entered into the place's table where it is new; -1 stays."""
        if own < 0:
            return -1
        if own not in table:
            table[own] = own if own not in self._taken else self._highest + 1
            self._taken.add(table[own])
            self._highest = max(self._highest, table[own])
        return table[own]


def _moved(item: Item, root: Path, common: Path) -> Item:
    if _real(root) == _real(common):
        return item
    below = os.path.relpath(_real(root), _real(common)).replace(os.sep, "/")
    return replace(item, path=f"{below}/{item.path}")


def _common_root(roots: Sequence[Path]) -> Path:
    if len({_real(r) for r in roots}) == 1:
        return roots[0]
    return Path(os.path.commonpath([_real(r) for r in roots]))


def _real(root: Path) -> str:
    return os.path.realpath(root)


def _domain(root: Path, known: dict[str, Place]) -> str:
    """The folder's name, with a number where another root is called the same."""
    name = safe_name(Path(_real(root)).name.lower())
    taken = {p.domain for p in known.values()}
    return next(n for n in (name, *(f"{name}-{i}" for i in range(2, len(known) + 3))) if n not in taken)
