"""Whether a checkpoint may be compared with published numbers: the recipe's settings, untouched, on the data set of the paper, whole.

Anything that differs withholds the numbers: what a rendered tree or a changed rate gives is another experiment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pydantic import ValidationError

from reidclip import registry
from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.store import Store
from reidclip.data.blurred_copies import is_blurred_copy
from reidclip.data.label_sets import LIP
from reidclip.data.published import published_of
from reidclip.errors import ReidclipError
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.interfaces import DataLayout, Method
from reidclip.recipes import read_recipe
from reidclip.records import Dataset, Protocol
from reidclip.settings import Settings, resolve
from reidclip.stages.choose import METHODS, settings_for
from reidclip.stages.mask import MaskSettings
from reidclip.stages.published import PublishedResult, published_rows
from reidclip.synth.files import PARAMETERS

LAYOUTS = "reidclip.layouts"


@dataclass(frozen=True)
class Comparison:
    """Published numbers that an evaluation may stand beside.

    Attributes:
        rows: by protocol.
        withheld: why none are shown where a user may expect some, one sentence: the recipe is for a data set of its own, or the data set
            is one that papers report on. "" otherwise.
    """

    rows: Mapping[str, PublishedResult] = field(default_factory=dict)
    withheld: str = ""


def method_of(checkpoint: Artifact | None) -> Method | None:
    """The method that made a checkpoint; None when it is not installed here, or nothing says which."""
    name = checkpoint.manifest.method if checkpoint else None
    if name is None or name not in registry.names(METHODS):
        return None
    return registry.info(METHODS, name).object


def recipe_of(checkpoint: Artifact | None) -> str | None:
    """Name of the recipe that a checkpoint's training started from."""
    recipe = checkpoint.manifest.config.get("recipe") if checkpoint else None
    return recipe if isinstance(recipe, str) else None


def compare(
    checkpoint: Artifact | None, dataset: Dataset, protocols: Sequence[Protocol], settings: EvaluateSettings, store: Store
) -> Comparison:
    """The published numbers beside which this evaluation belongs.

    Args:
        checkpoint: None for a plain CLIP, which has none.
        dataset: what is evaluated on.
        protocols: those that are evaluated.
        settings: of the evaluation.
        store: where the prompts of the checkpoint are looked up.
    """
    method, recipe = method_of(checkpoint), recipe_of(checkpoint)
    if checkpoint is None or method is None or recipe is None:
        return Comparison(withheld=_told(_without_recipe(checkpoint, method)) if _reported_on(dataset) else "")
    try:
        published = published_rows(method, recipe, dataset.layout)
        known = [p for p in protocols if p.name in published]
        masks_by = {published[p.name].masks_by for p in known}
        found = chain(_differences(checkpoint, method, recipe, dataset, known, settings, store), _other_masks(checkpoint, masks_by, store))
        if not known:
            meant = read_recipe(method, recipe).layout
            why = _without_rows(method, recipe, meant, dataset.layout, protocols, published)
            return Comparison(withheld=_told(why) if meant is not None or _reported_on(dataset) else "")
        difference = next(found, "")
    except ReidclipError as error:  # a faulty table or recipe of a plugin must not stop an evaluation
        return Comparison(withheld=f"published numbers of {method.name} cannot be read: {error.what}")
    if difference:
        return Comparison(withheld=f"published numbers of recipe {recipe} are not shown: {difference}")
    return Comparison({p.name: published[p.name] for p in known})


def _told(why: str) -> str:
    return f"published numbers are not shown: {why}"


def _reported_on(dataset: Dataset) -> bool:
    """Whether papers report on data of this layout, and it was not rendered."""
    layout = registry.info(LAYOUTS, dataset.layout).object if dataset.layout in registry.names(LAYOUTS) else None
    rendered = any((folder / PARAMETERS).is_file() for folder in (dataset.root, dataset.root.parent))
    return bool(getattr(layout, "published", ())) and not rendered


def _without_recipe(checkpoint: Artifact | None, method: Method | None) -> str:
    if checkpoint is None:
        return "none are recorded for a plain CLIP"
    if checkpoint.manifest.method is None:
        return f"nothing says which method made checkpoint {checkpoint.ref}"
    if method is None:
        return f"checkpoint {checkpoint.ref} is by '{checkpoint.manifest.method}', which is no method installed here"
    return f"checkpoint {checkpoint.ref} was trained by no recipe"


def _without_rows(
    method: Method, recipe: str, meant: str | None, layout: str, protocols: Sequence[Protocol], published: Collection[str]
) -> str:
    if published:
        return f"none are recorded for {', '.join(p.name for p in protocols)}, only for {', '.join(published)}"
    if meant not in (None, layout):
        return f"recipe {recipe} is for {meant} data, this is {layout}"
    return f"none are recorded for recipe {recipe} of {method.name} on {layout}"


def _differences(
    checkpoint: Artifact,
    method: Method,
    recipe: str,
    dataset: Dataset,
    protocols: Sequence[Protocol],
    settings: EvaluateSettings,
    store: Store,
) -> Iterator[str]:
    manifest = checkpoint.manifest
    command = str(manifest.config.get("command", "finetune"))
    if manifest.plugin_version != method.version:
        yield f"the checkpoint was made by version {manifest.plugin_version} of {method.name}, here is {method.version}"
    yield from _changed_settings(manifest.config.get("settings"), method, command, recipe)
    yield from _changed_prompts(checkpoint, method, recipe, store)
    published = resolve(EvaluateSettings, *read_recipe(method, recipe).sections("evaluate", EvaluateSettings), where="evaluate settings")
    if bool(settings.flip) != bool(published.flip):
        yield f"flip is {bool(settings.flip)}, published: {bool(published.flip)}"
    if settings.decode != "exact":
        yield f"pictures are decoded {settings.decode}, published: exact"
    trained_on: Any = settings_for(method, command, recipe, None, {})
    splits = {*trained_on.train_splits, *(split for p in protocols for split in (p.query, p.gallery))}
    if settings.blur_faces:
        yield "faces are blurred, published: pictures as they are"
    if is_blurred_copy(dataset):
        yield f"faces of {dataset.root} are blurred, as its name says"
    yield from _other_counts(dataset, splits)
    if manifest.dataset is None or manifest.dataset.fingerprint != dataset.fingerprint:
        yield f"the checkpoint was trained on other data than {dataset.root}"


def _changed_settings(used: object, method: Method, command: str, recipe: str) -> Iterator[str]:
    """Settings that an artifact was made with against those of the recipe alone."""
    wanted = settings_for(method, command, recipe, None, {})
    try:
        given: Settings = type(wanted).model_validate(used)
    except ValidationError:
        yield f"its {command} settings are those of another version of the toolkit"
        return
    for key in type(wanted).model_fields:
        if getattr(given, key) != getattr(wanted, key):
            yield f"{command} setting {key} is {getattr(given, key)}, the recipe has {getattr(wanted, key)}"


def _changed_prompts(checkpoint: Artifact, method: Method, recipe: str, store: Store) -> Iterator[str]:
    """The same for the prompts that the checkpoint was trained with."""
    for read in checkpoint.manifest.inputs:
        if read.role != "prompts":
            continue
        prompts = _by_digest(read.kind, read.ref, read.digest, (store, _store_of(checkpoint)))
        if prompts is None:
            yield f"its prompts {read.ref} are no longer in the store, so nothing says how they were learned"
        elif recipe_of(prompts) != recipe:
            yield f"its prompts {read.ref} were learned by recipe {recipe_of(prompts)}"
        else:
            yield from _changed_settings(prompts.manifest.config.get("settings"), method, "prompt-learn", recipe)


def _other_masks(checkpoint: Artifact, masks_by: Collection[str], store: Store) -> Iterator[str]:
    """Masks of another parser, or with other settings, than the published run's.

    Of label maps made elsewhere nothing says which parser it was.
    """
    for read in checkpoint.manifest.inputs:
        if read.role != "masks":
            continue
        masks = _by_digest(read.kind, read.ref, read.digest, (store, _store_of(checkpoint)))
        if masks is None:
            yield f"its masks {read.ref} are no longer in the store, so nothing says what they shield"
            continue
        if masks.manifest.method not in masks_by and any(made_from.role == "parsing" for made_from in masks.manifest.inputs):
            yield f"its masks {read.ref} were made by {masks.manifest.method}, published: {', '.join(sorted(masks_by))}"
        yield from _changed_masks(read.ref, masks.manifest.config)


def _changed_masks(ref: str, config: Mapping[str, Any]) -> Iterator[str]:
    """What decides on masks, against the toolkit's defaults, which are the paper's: LIP's clothes, white. Old masks lack some of it."""
    wanted = {**MaskSettings().model_dump(mode="json"), "label_set": LIP.name}
    for key in ("label_set", "dilation", "min_area", "when_all_clothes", "shielding"):
        if config.get(key, wanted[key]) != wanted[key]:
            yield f"its masks {ref} have {key} {config[key]}, published: {wanted[key]}"
    clothes = config.get("clothes", LIP.clothes)
    if {name.lower() for name in clothes} != {name.lower() for name in LIP.clothes}:
        yield f"its masks {ref} shield {', '.join(clothes)}, published: {', '.join(LIP.clothes)}"


def _store_of(artifact: Artifact) -> Store:
    return Store(artifact.path.resolve().parents[2])  # STORE/kind/name/version


def _by_digest(kind: str, ref: str, digest: str, stores: Sequence[Store]) -> Artifact | None:
    for store in stores:
        try:
            found = store.open(ref, kind=kind)
        except ReidclipError:
            continue
        if found.digest == digest:
            return found
    return None


def _other_counts(dataset: Dataset, splits: Collection[str]) -> Iterator[str]:
    """Published counts of the splits used that this data set does not show; a layout that publishes none is a difference too."""
    layout: DataLayout | None = registry.info(LAYOUTS, dataset.layout).object if dataset.layout in registry.names(LAYOUTS) else None
    rows = [c for c in published_of(layout, dataset) if c.splits and set(c.splits) <= set(splits)]
    counted = {split for row in rows for split in row.splits}
    uncounted = sorted(set(splits) - counted)
    if uncounted:
        yield f"nothing is published about the size of {dataset.layout}'s {uncounted[0]}"
    for row in rows:
        found = row.of(dataset)
        if found != row.value:
            yield f"this is not the published {dataset.layout} data ({row.what}: {found}, published: {row.value})"
