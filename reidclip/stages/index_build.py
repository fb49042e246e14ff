"""``reidclip index build`` as a function: vectors to a gallery index, artifact kind ``index``.

Payload: ``index.json``, ``items.csv``, ``backend/`` (the backend's own files), ``clothes.safetensors`` and
``worn.safetensors`` where clothes were grouped: the groups, and the descriptor of every item.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.draft import Draft
from reidclip.artifacts.manifest import InputRef
from reidclip.artifacts.names import check_name
from reidclip.artifacts.store import Store
from reidclip.gallery.about import BACKEND, CENTROIDS_FILE, IndexAbout
from reidclip.gallery.backends import backend_of
from reidclip.gallery.clusters import save_centroids
from reidclip.gallery.discarding import discard_on_failure, discard_unfinished
from reidclip.gallery.items import ITEMS_FILE, write_items
from reidclip.gallery.joining import join
from reidclip.gallery.worn import WORN_FILE, save_worn
from reidclip.interfaces import GalleryIndex
from reidclip.settings import Settings, parse_assignments, resolve
from reidclip.stages.choose import Say
from reidclip.stages.index_clothes import ClothesChoice, check_described, descriptors, grouped, left_unknown, of_labels
from reidclip.stages.index_inputs import Inputs, Progress, find_inputs, read_sets, vector_blocks

DEFAULT_BACKEND = "faiss"
RECALL_FILE = "recall.json"


@dataclass(frozen=True)
class BuildJob:
    """A build with everything decided.

    Attributes:
        inputs: what goes in.
        backend, settings: the plugin, and its settings.
        clothes: which clothes items wear.
        seed: of the groups of clothes.
    """

    inputs: Inputs
    store: Store
    backend: GalleryIndex
    settings: Settings
    clothes: ClothesChoice
    name: str
    seed: int = 0
    say: Say = field(default=lambda text: None, compare=False)

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest."""
        return {
            "command": "index build",
            **self.inputs.plan(),
            "backend": self.backend.name,
            "settings": self.settings.model_dump(mode="json"),
            "clothes": self.clothes.mode or "labels, else groups where clothes were described",
            "clusters": self.clothes.count,
            "seed": self.seed,
            "writes": f"index/{self.name}",
        }


def plan_build(
    sources: Sequence[str],
    store: Store,
    *,
    backend: str = DEFAULT_BACKEND,
    assignments: Sequence[str] = (),
    clothes: str | None = None,
    checkpoint: str | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    say: Say = lambda text: None,
) -> BuildJob:
    """Decide what is indexed how.

    Args:
        sources: references of ``vectors``, or folders, pictures and videos, which are extracted first; empty takes the newest vectors.
        backend: plugin of group ``reidclip.indexes``.
        assignments: its settings, ``key=value``.
        clothes: "labels", "clusters", "clusters:K" or "none"; None takes labels where the data has some.
        checkpoint: what data is extracted with.

    Raises:
        UserError: anything that does not fit.
    """
    plugin = backend_of(backend)
    settings = resolve(plugin.settings, parse_assignments(assignments), where=f"settings of index {backend}", plugin=backend)
    choice = ClothesChoice.parse(clothes)
    inputs = find_inputs(sources, store, say, checkpoint=checkpoint, clothes=choice.mode == "clusters", device=device)
    first = inputs.vectors[0].name if inputs.vectors else inputs.jobs[0].name
    called = check_name(name or first)
    return BuildJob(inputs, store, plugin, placed(plugin, settings, store, called), choice, called, seed, say)


def placed(backend: GalleryIndex, settings: Settings, store: Store, name: str) -> Settings:
    """The settings with the place of a database filled in, where the backend has ``placed(settings, store_root, name)`` and none is set."""
    found: Settings = backend.placed(settings, store.root, name) if hasattr(backend, "placed") else settings
    return found


def build(job: BuildJob, progress: Progress = lambda what, done, total: None) -> Artifact:
    """Run a planned build and commit its artifact.

    Raises:
        UserError: vectors of several models, or without descriptors of clothes that are asked for. WorkError: a full disk, a damaged file.
    """
    vectors = job.inputs.made(progress)
    sets = read_sets(vectors, None, "")
    mode = job.clothes.resolved(sets)
    if mode == "clusters":
        check_described(sets, vectors)
    for note in left_unknown(sets, vectors, job.clothes, mode):
        job.say(f"note: {note}")
    joined = join((), None, (), [(s.root, s.items) for s in sets])
    twice = sum(len(s.items) for s in sets) - len(joined.items)
    if twice:
        job.say(f"note: {twice} items are there twice and were taken once")
    model = sets[0].model
    discard_unfinished(job.store, job.name, job.say)
    with job.store.create("index", job.name) as draft:
        discard_on_failure(draft, job.backend, job.say)
        items, clothes = of_labels(joined.items, mode)
        if mode == "clusters":
            items, clothes, centroids = grouped(joined.items, sets, joined.fresh, job.clothes.count, job.seed)
            save_centroids(draft.path / CENTROIDS_FILE, centroids)
            save_worn(draft.path / WORN_FILE, descriptors(sets, joined.fresh))
        del sets
        folder = draft.path / BACKEND
        folder.mkdir()
        blocks = vector_blocks(vectors, joined.fresh, lambda done: progress("index", done, len(items)))
        job.backend.build(blocks, model.width, model.measure, job.settings, folder)
        write_items(draft.path / ITEMS_FILE, items)
        settings = job.settings.model_dump(mode="json")
        refs = tuple(a.ref for a in vectors)
        about = IndexAbout(job.backend.name, settings, len(items), model, joined.root, clothes, measured(folder), refs, joined.places)
        about.write(draft.path)
        describe(draft, job.plan(), about, [InputRef.of(a, role="vectors") for a in vectors], job.seed)
    tell(about, job.say)
    return draft.artifact


def measured(folder: Path) -> Mapping[str, Any] | None:
    """What an approximate backend measured of itself: its ``recall.json``; None of an exact one."""
    path = folder / RECALL_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def describe(draft: Draft, plan: Mapping[str, Any], about: IndexAbout, inputs: Sequence[InputRef], seed: int | None = None) -> None:
    """What the manifest of an index says."""
    metrics: dict[str, Any] = {"items": about.count}
    if about.recall:
        metrics["recall"] = about.recall["recall"]
    if about.clothes.match:
        metrics["clothes"] = dict(about.clothes.match)
    draft.describe(config=dict(plan), seed=seed, method=about.backend, inputs=inputs, metrics=metrics, notes=list(notes(about)))


def notes(about: IndexAbout) -> list[str]:
    """What a user of the index should know."""
    recall = about.recall
    if recall is None or recall["recall"] >= recall["wanted"]:
        return []
    return [
        f"recall@{recall['at']} is {recall['recall']:.3f}, below the {recall['wanted']} that was asked for, with all effort there is: "
        "build it with other settings, or exact."
    ]


def tell(about: IndexAbout, say: Say) -> None:
    """Recall and clothes in a line each, on stderr."""
    if about.recall:
        effort = ", ".join(f"{key} {about.recall[key]}" for key in ("ef_search", "probes") if key in about.recall)
        asked = f"{about.recall['queries']} queries of its own vectors; lower for new pictures"
        say(f"recall@{about.recall['at']} against exact search: {about.recall['recall']:.3f} ({asked}; {effort})")
    for note in notes(about):
        say(f"note: {note}")
    match = about.clothes.match
    if about.clothes.mode == "clusters":
        how = f": purity {match['purity']:.2f}, NMI {match['nmi']:.2f} against the data's labels" if match else ""
        say(f"clothes: {about.clothes.count} groups{how}")
