"""Which inputs a command works on: those named, else the newest fitting ones in the store. Every choice is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reidclip import registry
from reidclip.artifacts.manifest import DatasetRef, Manifest
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.join import place_of, roots_of
from reidclip.data.open_several import Layouts, Roots, open_datasets
from reidclip.data.training_samples import choose_samples
from reidclip.errors import UnknownClothesError, UserError
from reidclip.interfaces import INHERITED, Method
from reidclip.recipes import Recipe, read_recipe, recipe_names
from reidclip.records import Dataset
from reidclip.settings import Settings, resolve
from reidclip.stages.check_settings import check_effect, check_text
from reidclip.stages.config_file import beside, read_config
from reidclip.stages.reopen import PICTURES, reopened
from reidclip.stages.use_masks import notes_without_mask

Say = Callable[[str], None]
METHODS = "reidclip.methods"
DEFAULT_METHOD = "ccaf"
DEFAULT_RECIPE = "tiny"


def method_for(name: str, command: str) -> Method:
    """The method, checked to take part in the command."""
    method: Method = registry.get(METHODS, name)
    if command not in method.stages:
        fitting = [i.name for i in registry.all_infos(METHODS) if i.object is not None and command in getattr(i.object, "stages", ())]
        raise UserError(f"Method '{name}' has no {command} stage.", f"Methods that have one: {', '.join(fitting)}.")
    return method


def recipe_for(method: Method, recipe: str | None, say: Say, learned: Artifact | None = None) -> str | None:
    """The recipe named, else the one that the method's prompts were learned with, else "tiny"; None where a method has no such recipe."""
    if recipe is not None:
        return recipe
    if learned is not None and learned.manifest.method == method.name and learned.manifest.config.get("recipe"):
        recipe = str(learned.manifest.config["recipe"])
        say(f"recipe: {recipe} (of prompts {learned.ref})")
        return recipe
    if DEFAULT_RECIPE in recipe_names(method):
        say(f"recipe: {DEFAULT_RECIPE} (the default)")
        return DEFAULT_RECIPE
    say(f"recipe: none (method {method.name} has no '{DEFAULT_RECIPE}'; the defaults of its settings hold)")
    return None


def settings_for(
    method: Method,
    command: str,
    recipe: str | None,
    config: Path | None,
    assignments: dict[str, Any],
    inherited: Mapping[str, Any] | None = None,
) -> Settings:
    """Defaults < recipe < what the step before used (``inherited``) < --config < --set, validated by the method's own model.

    Raises:
        UserError: see `reidclip.settings.resolve` and `reidclip.stages.check_settings`.
    """
    model = method.settings[command]
    layers = [] if recipe is None else read_recipe(method, recipe).sections(command, model)
    layers.append(dict(inherited or {}))
    given = {} if config is None else read_config(config, command, model)
    where = f"{command} settings of method {method.name}{beside(config)}"
    settings = resolve(model, *layers, given, assignments, where=where, plugin=method.name, commands=method.settings)
    check_effect(method, command, settings, {**given, **assignments})
    check_text(method, command, settings)
    return settings


def inherited_of(prompts: Artifact, method: Method, say: Say, given: Collection[str] = ()) -> dict[str, Any]:
    """What fine-tuning takes over from the settings that its prompts were learned with: against them, others make no sense.

    Keys that the user has ``given`` win over these, so nothing is told of them.
    """
    settings = prompts.manifest.config.get("settings", {})
    known = method.settings["finetune"].model_fields
    found = {key: settings[key] for key in getattr(method, "inherits", INHERITED) if key in settings and key in known}
    for key, value in found.items():
        default = known[key].default
        unusual = key == "clip" or value != (list(default) if isinstance(default, tuple) else default)  # the manifest is JSON
        if unusual and key not in given:
            say(f"{key}: {value} (of prompts {prompts.ref})")
    return found


def note_on_layout(method: Method, recipe: str | None, dataset: Dataset, say: Say) -> None:
    """Tell when a recipe is meant for another data set; it is used all the same."""
    meant = None if recipe is None else read_recipe(method, recipe).layout
    for one in dataset.sources.values() or (dataset,):
        if meant not in (None, one.layout):
            say(f"note: recipe {recipe} is for {meant} data; {one.root} is read as {one.layout}")


@contextmanager
def naming_the_recipe(method: Method, recipe: str | None, dataset: Dataset) -> Iterator[None]:
    """What a method refuses for want of clothes labels it may do by its recipe for such data: the error then names it too."""
    try:
        yield
    except UnknownClothesError as error:
        found = _recipe_of_layout(method, dataset.layout)
        if found is None or found.name == recipe:
            raise
        raise UnknownClothesError(
            error.what, f"{error.remedy} Or take the recipe for this data: --recipe {found.name} ({found.title.rstrip('.')})."
        ) from error


def _recipe_of_layout(method: Method, layout: str) -> Recipe | None:
    fitting = [recipe for name in recipe_names(method) if (recipe := read_recipe(method, name)).layout == layout]
    return min(fitting, key=lambda recipe: (recipe.name != layout, recipe.name), default=None)


def dataset_for(
    data: Roots | None, layout: Layouts, store: Store, kinds: tuple[str, ...], say: Say, named: Artifact | None = None
) -> Dataset:
    """The data set (or sets) named, else what an artifact was made from: the artifact named, else the newest (first kind first).

    Raises:
        UserError: nothing says which, or a folder is gone.
    """
    if data:
        return open_datasets(data, layout)
    source = named or next((a for kind in kinds if (a := store.newest(kind, _of_a_dataset)) is not None), None)
    if source is None or source.manifest.dataset is None:
        raise UserError(
            f"No data set was named and no {' or '.join(kinds)} artifact in {store.root} says which.", "Name its folder: data/prcc."
        )
    return reopened(source, say, layout, newest=named is None)


def _of_a_dataset(manifest: Manifest) -> bool:
    return manifest.dataset is not None and all(part.layout != PICTURES for part in manifest.dataset.parts)


def masks_for(named: Artifact | None, dataset: Dataset, store: Store, say: Say, splits: Sequence[str] = ("train",)) -> Artifact:
    """The masks named, checked to belong to this data; else the newest that do. Pictures of the training splits without one are told."""
    if named is not None:
        return _told(made_from(named, dataset, "masks"), dataset, say, splits)
    artifact = store.newest("masks", of_data(dataset))
    if artifact is not None:
        say(f"masks: {artifact.ref} (the newest of this data)")
        return _told(artifact, dataset, say, splits)
    other = store.newest("masks")
    if other is not None:
        made_from(other, dataset, "masks")
    raise UserError(f"There are no masks of {place_of(dataset)} in {store.root}.", f"Make them: reidclip mask {_arguments(dataset)}.")


def _told(masks: Artifact, dataset: Dataset, say: Say, splits: Sequence[str]) -> Artifact:
    for note in notes_without_mask(masks, choose_samples(dataset, splits).samples):
        say(f"note: {note}")
    return masks


def prompts_for(named: Artifact | None, method: str, dataset: Dataset, store: Store, say: Say) -> Artifact:
    """The prompts named, checked for method and data; else the newest that fit."""
    if named is not None:
        artifact = made_from(named, dataset, "prompts")
        if artifact.manifest.method != method:
            raise UserError(
                f"Prompts {artifact.ref} were learned by method '{artifact.manifest.method}', not '{method}'.",
                f"Learn them first: reidclip prompt-learn --method {method}.",
            )
        return artifact
    fits = of_data(dataset)
    artifact_or_none = store.newest("prompts", lambda m: m.method == method and fits(m))
    if artifact_or_none is None:
        other = store.newest("prompts", lambda m: m.method == method and m.dataset is not None)
        raise UserError(
            f"There are no prompts of method '{method}' and data {place_of(dataset)} in {store.root}.{_differs(other, dataset)}",
            f"Learn them first: reidclip prompt-learn {_arguments(dataset)} --method {method}.",
        )
    say(f"prompts: {artifact_or_none.ref} (the newest of this method and data)")
    return artifact_or_none


def _differs(other: Artifact | None, dataset: Dataset) -> str:
    """Of joined data: what keeps the newest prompts of the method from fitting."""
    made = other.manifest.dataset if other else None
    if other is None or made is None or not (dataset.sources or made.sources):
        return ""
    return f" The newest, {other.ref}, were learned on other data: {'; '.join(made.differences(DatasetRef.of(dataset)))}."


def _arguments(dataset: Dataset) -> str:
    """The data as a command names it."""
    return " ".join(str(root) for root in roots_of(dataset))


def checkpoint_for(ref: str | None, dataset: Dataset | None, store: Store, say: Say, otherwise: str = "") -> Artifact:
    """The checkpoint named, else the newest trained on this data, alone or among others; without data the newest of all.

    Args:
        otherwise: what a user without one can do instead of training, for the error: ", or ...".

    Raises:
        UserError: there is none, or none that was trained on the data named: a result for other data has to be asked for.
    """
    if ref is not None:
        return store.open(ref, kind="checkpoint")
    trained_here = store.newest("checkpoint", learned_from(dataset)) if dataset else None
    newest = trained_here or store.newest("checkpoint", lambda m: m.config.get("holds", "encoder") == "encoder")  # or an imported parser
    if newest is None:
        raise UserError(f"There is no checkpoint in {store.root}.", f"Make one with reidclip finetune{otherwise}.")
    made = newest.manifest.dataset
    if dataset and made and not trained_here:
        once_this = not made.sources and Path(made.root).resolve() == dataset.root.resolve()
        differs = "; ".join(made.differences(DatasetRef.of(dataset))) if once_this else " + ".join(part.root for part in made.parts)
        raise UserError(
            f"No checkpoint in {store.root} was trained on {dataset.root} as it is; the newest, {newest.ref}, was trained on {differs}.",
            f"To evaluate that one here all the same: --checkpoint {newest.ref}.",
        )
    imported = ", imported: nothing says what it was trained on" if dataset and made is None else ""
    say(f"checkpoint: {newest.ref} (the newest{imported})")
    return newest


def of_data(dataset: Dataset) -> Callable[[Manifest], bool]:
    """A filter: made from this very data."""
    fingerprint = dataset.fingerprint
    return lambda manifest: manifest.dataset is not None and manifest.dataset.fingerprint == fingerprint


def learned_from(dataset: Dataset) -> Callable[[Manifest], bool]:
    """A filter: made from this very data, or from several data sets of which it is one."""
    fingerprint, same = dataset.fingerprint, of_data(dataset)
    return lambda manifest: (
        same(manifest) or (manifest.dataset is not None and any(part.fingerprint == fingerprint for part in manifest.dataset.parts))
    )


def made_from(artifact: Artifact, dataset: Dataset, what: str) -> Artifact:
    """The artifact again, when it was made from this data.

    Raises:
        UserError: it was made from other data; says what differs.
    """
    if of_data(dataset)(artifact.manifest):
        return artifact
    made = artifact.manifest.dataset
    differs = "; ".join(made.differences(DatasetRef.of(dataset))) if made is not None else "it records no data set"
    raise UserError(
        f"{what.capitalize()} {artifact.ref} were made from other data: {differs}.", f"Make {what} of {place_of(dataset)} first."
    )
