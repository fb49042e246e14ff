"""Settings of an evaluation: defaults < table [evaluate] of the checkpoint's recipe < --config < --set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reidclip import registry
from reidclip.artifacts.artifact import Artifact
from reidclip.errors import UserError
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.recipes import read_recipe, recipe_names
from reidclip.settings import resolve
from reidclip.stages.choose import METHODS
from reidclip.stages.compare import method_of, recipe_of
from reidclip.stages.config_file import beside, read_config

COMMAND = "evaluate"


def given_values(config: Path | None, assignments: dict[str, Any]) -> list[dict[str, Any]]:
    """The user's layers, --config then --set.

    Raises:
        UserError: a wrong value in them, before anything else is read.
    """
    layers = [] if config is None else [read_config(config, COMMAND, EvaluateSettings)]
    layers.append(assignments)
    resolve_evaluate(*layers, config=config)
    return layers


def of_recipe(checkpoint: Artifact | None, recipe: str | None) -> list[dict[str, Any]]:
    """What the recipe named says of an evaluation, else the checkpoint's own recipe where it is still there.

    Raises:
        UserError: a recipe named for a plain CLIP, or for a method that is not installed, or that the method does not have.
    """
    if recipe is not None and checkpoint is None:
        raise UserError("--recipe names settings of a checkpoint's method, and a plain CLIP has none.", "Leave it out, or use --set.")
    method = method_of(checkpoint)
    if checkpoint is not None and recipe is not None and method is None:
        if checkpoint.manifest.method is None:
            raise UserError(f"Nothing says which method made checkpoint {checkpoint.ref}.", "Leave --recipe out.")
        method = registry.get(METHODS, checkpoint.manifest.method)  # raises: it says why the method is not there
    wanted = recipe or recipe_of(checkpoint)
    if method is None or wanted is None or (recipe is None and wanted not in recipe_names(method)):
        return []
    return read_recipe(method, wanted).sections(COMMAND, EvaluateSettings)


def resolve_evaluate(*layers: Mapping[str, Any], config: Path | None = None) -> EvaluateSettings:
    """Merge the layers, later ones winning; ``config`` is named where one is wrong.

    Raises:
        UserError: one line per mistake.
    """
    return resolve(EvaluateSettings, *layers, where=f"{COMMAND} settings{beside(config)}", plugin=None)
