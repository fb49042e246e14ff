"""Where the random divisions of a data set come from: a file in its folder, else this toolkit's own draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reidclip.data.draws import SEED, numbered
from reidclip.data.split_files import OWN_FILE, SEEDED, SIDES, digest_of, is_own, own_draws, read_json
from reidclip.errors import UserError
from reidclip.records import Draw, Sample

Foreign = Callable[[Path, Any, "Pictures"], dict[str, Draw]]
"""(file, JSON document, pictures of the data set) -> the divisions that a published program kept."""

_REMEDY = "Take it away to have the splits drawn, or restore the one that belongs to this folder."


class Pictures:
    """The pictures of a data set, found by the last parts of a path: published programs keep absolute paths of another machine."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = {s.path: s for s in samples}
        self._ends: dict[str, str | None] = {}
        for path in self.samples:
            parts = path.split("/")
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                self._ends[end] = None if end in self._ends else path  # None: several end so

    def find(self, path: object, file: Path) -> str:
        """The picture's path in this data set.

        Raises:
            UserError: there is none, or several; names the file and the path.
        """
        parts = str(path).replace("\\", "/").split("/")
        for length in sorted({p.count("/") + 1 for p in self.samples}, reverse=True):
            found = self._ends.get("/".join(parts[-length:]))
            if found is not None:
                return found
        raise UserError(f"{file} names {path}, which is no picture of this folder.", _REMEDY)


def find_draws(
    folders: Sequence[Path],
    names: Sequence[str],
    samples: Sequence[Sample],
    seeded: Callable[[], Mapping[str, Draw]],
    foreign: Foreign,
    drawn: str = "",
) -> tuple[dict[str, Draw], str]:
    """The divisions and a note that says where they came from.

    Args:
        folders: where a file may lie, in this order.
        names: of files that published programs keep; the toolkit's own format is read under these names too.
        samples: of the data set.
        seeded: draws them where there is no file.
        foreign: reads what a published program kept.
        drawn: the note when there is no file; "" says that they are this toolkit's own.

    Raises:
        UserError: a file that is there and does not fit the folder.
    """
    file = next((path for folder in folders for name in (OWN_FILE, *names) if (path := folder / name).is_file()), None)
    if file is None:
        draws = dict(seeded())
        cited = f"digest {digest_of(draws)[:12]}"
        return draws, f"{drawn} ({cited})." if drawn else f"{SEEDED}, seed {SEED} ({cited}): published programs draw without a seed."
    pictures, document = Pictures(samples), read_json(file)
    draws = own_draws(file, document) if is_own(document) else foreign(file, document, pictures)
    _check(file, draws, pictures)
    return draws, f"The random splits are those of {file} (digest {digest_of(draws)[:12]})."


def listed_splits(file: Path, document: Any, pictures: Pictures) -> dict[str, Draw]:
    """Splits as torchreid and CLIP-FGDI keep them: a list of train, query and gallery; entries are a path, or begin with one.

    Raises:
        UserError: another structure, or a path that is no picture here.
    """
    draws = []
    for split in entries_of(file, document, SIDES):
        sides = [[entry[0] if isinstance(entry, list) and entry else entry for entry in split[side]] for side in SIDES]
        draws.append(Draw(*(tuple(pictures.find(path, file) for path in side) for side in sides)))
    return numbered(draws)


def entries_of(file: Path, document: Any, keys: Sequence[str]) -> list[dict[str, list[Any]]]:
    """The splits in a file, a list of objects that hold a list under each of ``keys``.

    Raises:
        UserError: another structure.
    """
    fits = isinstance(document, list) and document
    if not fits or not all(isinstance(entry, dict) and all(isinstance(entry.get(key), list) for key in keys) for entry in document):
        raise UserError(f"{file} is no list of splits with {', '.join(keys)}.", _REMEDY)
    splits: list[dict[str, list[Any]]] = document
    return splits


def _check(file: Path, draws: Mapping[str, Draw], pictures: Pictures) -> None:
    """Whether they are divisions of these pictures that can be trained on and tested.

    Raises:
        UserError: they are not; names the file and the split.
    """
    if not draws:
        raise UserError(f"{file} holds no splits.", _REMEDY)
    for name, draw in draws.items():
        for side in SIDES:
            unknown = next((path for path in getattr(draw, side) if path not in pictures.samples), None)
            if unknown is not None:
                raise UserError(f"{file} names {unknown}, which is no picture of this folder.", _REMEDY)
        people = {side: {pictures.samples[path].pid for path in getattr(draw, side)} for side in SIDES}
        if not people["query"] & people["gallery"]:
            raise UserError(f"{file}, {name}: no query has anybody to find in the gallery.", _REMEDY)
        both = people["train"] & (people["query"] | people["gallery"])
        if both:
            raise UserError(f"{file}, {name}: identity {min(both)} is in training and in test.", _REMEDY)
