"""``reidclip index add`` and ``remove`` as functions: the next version of an index; those before answer as they did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.manifest import InputRef
from reidclip.artifacts.store import Store
from reidclip.errors import UserError
from reidclip.gallery.about import BACKEND, CENTROIDS_FILE, IndexAbout
from reidclip.gallery.backends import backend_of
from reidclip.gallery.clusters import load_centroids, nearest_centroid
from reidclip.gallery.discarding import discard_on_failure, discard_unfinished
from reidclip.gallery.filters import Columns
from reidclip.gallery.gallery import index_for
from reidclip.gallery.items import ITEMS_FILE, Item, read_items, write_items
from reidclip.gallery.joining import join
from reidclip.gallery.query import Filter
from reidclip.gallery.segments import link
from reidclip.gallery.worn import WORN_FILE, load_worn, save_worn
from reidclip.stages.choose import Say
from reidclip.stages.index_build import describe, measured, tell
from reidclip.stages.index_clothes import ClothesChoice, check_described, descriptors, left_unknown, of_labels, with_groups
from reidclip.stages.index_inputs import Inputs, Progress, find_inputs, read_sets, vector_blocks


@dataclass(frozen=True)
class AddJob:
    """What is added to which index."""

    index: Artifact
    about: IndexAbout
    inputs: Inputs
    store: Store
    say: Say = field(default=lambda text: None, compare=False)

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest."""
        return {"command": "index add", "index": self.index.ref, **self.inputs.plan(), "writes": f"index/{self.index.name}"}


@dataclass(frozen=True)
class RemoveJob:
    """Which rows are taken from which index."""

    index: Artifact
    about: IndexAbout
    items: tuple[Item, ...]
    rows: np.ndarray
    store: Store
    say: Say = field(default=lambda text: None, compare=False)

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest; of many items the first."""
        first = [self.items[row].key for row in self.rows[:10]]
        writes = f"index/{self.index.name}"
        return {"command": "index remove", "index": self.index.ref, "removes": len(self.rows), "first": first, "writes": writes}


def plan_add(
    sources: Sequence[str], store: Store, *, index: str | None = None, checkpoint: str | None = None, device: str = "auto", say: Say
) -> AddJob:
    """Decide what is added; arguments as in `reidclip.stages.index_build.plan_build`.

    Args:
        index: reference; None takes the newest.

    Raises:
        UserError: nothing named, or anything that does not fit.
    """
    artifact = _index(index, store, say)
    about = IndexAbout.read(artifact)
    backend_of(about.backend)
    if not sources:
        raise UserError("Nothing was named that could be added.", "Name vectors, or folders of pictures: reidclip index add data/new.")
    has_data = any(not _is_reference(source, store) for source in sources)
    data_by = checkpoint or (about.model.ref if has_data else None)
    grouped = about.clothes.mode == "clusters"
    return AddJob(artifact, about, find_inputs(sources, store, say, checkpoint=data_by, clothes=grouped, device=device), store, say)


def _is_reference(source: str, store: Store) -> bool:
    try:
        store.locate(source, "vectors")
    except UserError:
        return False
    return True


def add(job: AddJob, progress: Progress = lambda what, done, total: None) -> Artifact | None:
    """The next version of the index with more items; None, and nothing written, where all of them are there already.

    Raises:
        UserError: vectors of another model, or without descriptors of clothes where the index has groups of them.
        WorkError: a damaged file, a full disk.
    """
    about = job.about
    vectors = job.inputs.made(progress)
    sets = read_sets(vectors, about.model, f"index {job.index.ref}")
    grouped = about.clothes.mode == "clusters"
    if grouped:
        check_described(sets, vectors)
    before = read_items(job.index.file(ITEMS_FILE))
    joined = join(before, about.root, about.places, [(s.root, s.items) for s in sets], renumber=not grouped)
    count = sum(map(len, joined.fresh))
    if known := sum(len(s.items) for s in sets) - count:
        job.say(f"note: {known} items are in the index already and were left out")
    if not count:
        return None
    for note in left_unknown(sets, vectors, ClothesChoice(about.clothes.mode), about.clothes.mode):
        job.say(f"note: {note}")
    if before[0].key != (now := joined.items[0].key):
        job.say(f"note: keys begin at {joined.root} now: {before[0].key} is called {now}; old keys are found where only one ends in them")
    new = joined.items[len(before) :]
    described = descriptors(sets, joined.fresh) if grouped else None
    if described is not None:
        new = with_groups(new, nearest_centroid(described, load_centroids(job.index.file(CENTROIDS_FILE))))
    else:
        new, _ = of_labels(new, about.clothes.mode)
    del sets
    items = (*joined.items[: len(before)], *new)
    blocks = vector_blocks(vectors, joined.fresh, lambda done: progress("index", done, count))
    refs = (*about.sources, *(a.ref for a in vectors))
    changed = replace(about, root=joined.root, places=joined.places, sources=refs)
    inputs = [InputRef.of(a, role="vectors") for a in vectors]
    return _next_version(job, changed, items, blocks, np.zeros(0, dtype=np.int64), inputs, described)


def plan_remove(store: Store, *, index: str | None = None, keys: Sequence[str] = (), matching: Filter | None = None, say: Say) -> RemoveJob:
    """Decide what is removed: the items named, and all that a filter lets through.

    Raises:
        UserError: nothing named, an item that is not there, nothing that matches, or everything.
    """
    artifact = _index(index, store, say)
    about = IndexAbout.read(artifact)
    items = tuple(read_items(artifact.file(ITEMS_FILE)))
    if not keys and (matching is None or matching.empty):
        raise UserError("Nothing was named that could be removed.", "Name items (--item KEY) or say which: --camera 3 --before 2024-05-01.")
    columns = Columns.of(items)
    gone = np.zeros(len(items), dtype=bool)
    for key in keys:
        rows = columns.find(key)
        if not rows:
            raise UserError(f"Index {artifact.ref} holds no item '{key}'.", f"Keys are paths relative to {about.root}.")
        gone[rows] = True
    passes = None if matching is None else columns.allowed(matching)
    if passes is not None:
        gone |= passes
    if not gone.any():
        raise UserError(f"No item of index {artifact.ref} matches.", "Look at what it holds: reidclip index info.")
    if gone.all():
        raise UserError(
            f"That is all of index {artifact.ref}: an index cannot be empty.",
            f"Remove the index: reidclip artifacts rm index/{artifact.ref}.",
        )
    return RemoveJob(artifact, about, items, np.flatnonzero(gone), store, say)


def remove(job: RemoveJob, progress: Progress = lambda what, done, total: None) -> Artifact:
    """The next version of the index without some items. Their vectors stay where earlier versions are, and in HNSW's and IVF's files until
    these are made anew.

    Raises:
        WorkError: a damaged file, a full disk.
    """
    stays = np.ones(len(job.items), dtype=bool)
    stays[job.rows] = False
    items = tuple(job.items[row] for row in np.flatnonzero(stays))
    progress("index", 0, 1)
    done = _next_version(job, job.about, items, iter(()), job.rows, [])
    progress("index", 1, 1)
    return done


def _index(ref: str | None, store: Store, say: Say) -> Artifact:
    artifact = index_for(ref, store)
    if ref is None:
        say(f"index: {artifact.ref} (the newest)")
    return artifact


def _next_version(
    job: AddJob | RemoveJob,
    about: IndexAbout,
    items: tuple[Item, ...],
    blocks: Any,
    removed: np.ndarray,
    inputs: list[InputRef],
    described: np.ndarray | None = None,
) -> Artifact:
    backend = backend_of(about.backend)
    for name in job.index.files:
        if name.startswith(f"{BACKEND}/"):
            job.index.file(name)  # its digest: a damaged file is not carried on
    discard_unfinished(job.store, job.index.name, job.say)
    with job.store.create("index", job.index.name) as draft:
        discard_on_failure(draft, backend, job.say)
        folder = draft.path / BACKEND
        folder.mkdir()
        backend.extend(job.index.path / BACKEND, blocks, removed, folder)
        write_items(draft.path / ITEMS_FILE, items)
        if CENTROIDS_FILE in job.index.files:
            link(job.index.file(CENTROIDS_FILE), draft.path / CENTROIDS_FILE)
        if WORN_FILE in job.index.files:  # indexes of earlier releases have none, and go on without
            stays = np.delete(load_worn(job.index.file(WORN_FILE), job.about.count), removed, axis=0)
            save_worn(draft.path / WORN_FILE, stays if described is None else np.concatenate([stays, described]))
        changed = replace(about, count=len(items), recall=measured(folder))
        if changed.clothes.mode == "labels":
            changed = replace(changed, clothes=of_labels(items, "labels")[1])
        changed.write(draft.path)
        describe(draft, job.plan(), changed, [InputRef.of(job.index, role="index"), *inputs])
    if draft.artifact.version != job.index.version + 1:
        job.say(f"note: version {job.index.version} was changed, not the one before this")
    tell(changed, job.say)
    return draft.artifact
