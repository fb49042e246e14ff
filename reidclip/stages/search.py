"""``reidclip search`` as a function: pictures, or items of the gallery, to the items nearest to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.store import Store
from reidclip.data.images import UInt8, read_picture
from reidclip.errors import UserError
from reidclip.evaluation.settings import RerankSettings
from reidclip.gallery.about import IndexAbout
from reidclip.gallery.clothes import DEFAULT_PARSER
from reidclip.gallery.embed import embed_pictures
from reidclip.gallery.gallery import Gallery, index_for
from reidclip.gallery.items import Item
from reidclip.gallery.query import Filter, Hit
from reidclip.gallery.worn import UNKNOWN, Worn
from reidclip.settings import parse_assignments, resolve
from reidclip.stages.choose import Say
from reidclip.stages.search_clothes import worn_by
from reidclip.train.device import pick_device


@dataclass(frozen=True)
class SearchJob:
    """A search with everything decided and nothing loaded.

    Attributes:
        pictures: files that are asked about.
        keys: items of the gallery that are asked about.
        filter: which items may answer.
        other_clothes: leave out items that wear what the query wears.
        query_clothes: what all queries wear; None: found out, where it is needed.
        rerank: see `reidclip.gallery.gallery.Gallery.search`.
        expand: likewise.
        checkpoint: the encoder, where the index's own reference is not in the store.
    """

    index: Artifact
    store: Store
    pictures: tuple[Path, ...]
    keys: tuple[str, ...]
    filter: Filter
    top: int
    other_clothes: bool = False
    query_clothes: int | None = None
    rerank: RerankSettings | None = None
    expand: int = 0
    checkpoint: str | None = None
    parser: str = DEFAULT_PARSER
    device: str = "auto"
    say: Say = field(default=lambda text: None, compare=False)

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run."""
        wanted = {key: value for key, value in asdict(self.filter).items() if value not in ((), None, False)}
        return {
            "command": "search",
            "index": self.index.ref,
            "pictures": [str(path) for path in self.pictures],
            "items": list(self.keys),
            "filter": wanted,
            "other_clothes": self.other_clothes,
            "query_clothes": self.query_clothes,
            "top": self.top,
            "rerank": None if self.rerank is None else self.rerank.model_dump(mode="json"),
            "expand": self.expand,
            "device": str(pick_device(self.device)),
        }


@dataclass(frozen=True)
class Answer:
    """What one query found.

    Attributes:
        query: the picture's path as given, or the item's key.
        picture: (H, W, 3) uint8, as it was asked; None of an item, whose vector is in the index.
        item: what was asked about in place of a picture.
        clothes: what it wears; -1 where nobody asked.
        hits: nearest first.
    """

    query: str
    picture: UInt8 | None
    item: Item | None
    clothes: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class SearchResult:
    """All answers, and what is known of the index that gave them.

    Attributes:
        index: its reference.
        about: what it says of itself.
    """

    index: str
    about: IndexAbout
    answers: tuple[Answer, ...]


def plan_search(
    pictures: Sequence[Path],
    store: Store,
    *,
    index: str | None = None,
    keys: Sequence[str] = (),
    wanted: Filter = Filter(),  # noqa: B008 - frozen
    other_clothes: bool = False,
    query_clothes: int | None = None,
    top: int = 10,
    rerank: bool = False,
    expand: int = 0,
    assignments: Sequence[str] = (),
    checkpoint: str | None = None,
    parser: str = DEFAULT_PARSER,
    device: str = "auto",
    say: Say = lambda text: None,
) -> SearchJob:
    """Decide what is asked of which index.

    Args:
        pictures: files.
        index: reference; None takes the newest.
        keys: items of the gallery.
        assignments: of `RerankSettings`, ``key=value``.

    Raises:
        UserError: nothing to ask, a folder, or anything that does not fit.
    """
    if not pictures and not keys:
        raise UserError("Nothing was named to search for.", "Name a picture: reidclip search person.jpg. Or an item: --item KEY.")
    for path in pictures:
        if path.is_dir():
            raise UserError(f"{path} is a folder; a search is for pictures.", f"Name some of its pictures: reidclip search {path}/*.jpg.")
    if assignments and not rerank:
        raise UserError("--set changes re-ranking, which was not asked for.", "Add --rerank, or leave --set out.")
    settings = resolve(RerankSettings, parse_assignments(assignments), where="settings of --rerank", plugin=None)
    artifact = index_for(index, store)
    if index is None:
        say(f"index: {artifact.ref} (the newest)")
    return SearchJob(
        artifact,
        store,
        tuple(pictures),
        tuple(keys),
        wanted,
        top,
        other_clothes,
        query_clothes,
        settings if rerank else None,
        expand,
        checkpoint,
        parser,
        device,
        say,
    )


def search(job: SearchJob, progress: Callable[[str, int, int], None] = lambda what, done, total: None) -> SearchResult:
    """Run a planned search: pictures first, then items.

    Raises:
        UserError: a picture of another model's index, an item that is not there, clothes that nobody knows.
        WorkError: a broken picture, a damaged index.
    """
    shown = [read_picture(path) for path in job.pictures]  # what is no picture is told before anything large is loaded
    with Gallery.open(job.store, job.index) as gallery:
        for note in odd_filters(gallery, job.filter):
            job.say(f"note: {note}")
        rows = [gallery.row_of(key) for key in job.keys]
        worn = _worn(job, gallery, shown, rows)
        asked = _vectors(job, gallery, shown, rows, progress)
        filters = [_filter(job, own, None) for own in worn[: len(shown)]]
        filters += [_filter(job, own, gallery.items[row].key) for own, row in zip(worn[len(shown) :], rows, strict=True)]
        hits = gallery.search(asked, job.top, filters, job.rerank, job.expand)
    names = [*map(str, job.pictures), *job.keys]
    pictures: list[UInt8 | None] = [*shown, *(None for _ in rows)]
    items: list[Item | None] = [*(None for _ in shown), *(gallery.items[row] for row in rows)]
    answers = tuple(Answer(*parts) for parts in zip(names, pictures, items, [one.group for one in worn], map(tuple, hits), strict=True))
    for answer in answers:
        if not answer.hits:
            job.say(f"note: nothing answers to {answer.query}: no item passes the filter")
    return SearchResult(job.index.ref, gallery.about, answers)


def odd_filters(gallery: Gallery, wanted: Filter) -> list[str]:
    """What a filter names and the gallery does not have: a mistyped number lets nothing through, and nobody would know why."""
    found = []
    for word, named, known in (
        ("camera", wanted.cameras, {int(c) for c in np.unique(gallery.columns.cameras)}),
        ("clothes", wanted.clothes, {int(c) for c in np.unique(gallery.columns.clothes)}),
        ("domain", wanted.domains, set(gallery.columns.domain_names)),
    ):
        unknown = [one for one in named if one not in known]
        if unknown:
            some = ", ".join(map(str, sorted(known - {UNKNOWN, ""}, key=str)[:12])) or "none"
            found.append(f"index {gallery.artifact.ref} has no {word} {', '.join(map(str, unknown))}; it has {some}")
    if (wanted.after is not None or wanted.before is not None) and not np.isfinite(gallery.columns.times).any():
        found.append(f"index {gallery.artifact.ref} knows no times, so nothing answers to --after or --before")
    return found


def _filter(job: SearchJob, worn: Worn, key: str | None) -> Filter:
    """The job's, without the query itself and, where it is asked for, without what it wears."""
    wanted = job.filter
    if key is not None:
        wanted = replace(wanted, not_items=(*wanted.not_items, key))
    return worn.left_out(wanted) if job.other_clothes else wanted


def _worn(job: SearchJob, gallery: Gallery, shown: Sequence[UInt8], rows: Sequence[int]) -> list[Worn]:
    """What each query wears; unknown where nobody asks."""
    names = [*map(str, job.pictures), *job.keys]
    if job.query_clothes is not None:
        return [Worn(job.query_clothes)] * len(names)
    if not job.other_clothes:
        return [Worn()] * len(names)
    return worn_by(gallery, names, shown, rows, job.parser, job.device, job.say)


def _vectors(
    job: SearchJob, gallery: Gallery, shown: Sequence[UInt8], rows: Sequence[int], progress: Callable[[str, int, int], None]
) -> np.ndarray:
    parts = [gallery.vectors(rows)] if rows else []
    if shown:
        encoder = gallery.encoder(pick_device(job.device), job.checkpoint)
        progress("embed", 0, len(shown))
        parts.insert(0, embed_pictures(encoder, shown))
        progress("embed", len(shown), len(shown))
    return np.concatenate(parts)
