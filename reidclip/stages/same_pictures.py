"""Prompts and the fine-tuning that reads them are made of the same pictures.

Other splits may hold the same identities (train and val of MSMT17 do), so that nothing but the settings tells the two trainings apart.
"""

from __future__ import annotations

import json
from typing import Any

from reidclip.artifacts.artifact import Artifact
from reidclip.errors import UserError
from reidclip.interfaces import Method
from reidclip.recipes import read_recipe
from reidclip.stages.choose import Say, inherited_of
from reidclip.train.settings import ModelSettings

CHOICE = ("train_splits", "distractors")
"""Settings that choose the pictures."""
BESIDE_RECIPE = (*CHOICE, "blur_faces")
"""What prompts hand on beside a recipe that was named: their pictures, and whether these show faces."""


def inherited_beside_recipe(prompts: Artifact, method: Method, recipe: str, say: Say) -> dict[str, Any]:
    """What fine-tuning by a recipe that was named takes over from its prompts: the choice of pictures, where the recipe makes none.

    A recipe says how to train; few say on which pictures, and those that the prompts were not learned from are seldom meant.
    """
    model = method.settings["finetune"]
    made = {key for layer in read_recipe(method, recipe).sections("finetune", model) for key in layer}
    all_of_them = inherited_of(prompts, method, lambda text: None)
    found = {key: value for key, value in all_of_them.items() if key in BESIDE_RECIPE and key not in made}
    for key, value in found.items():
        if _value(value) != _value(model.model_fields[key].default):
            say(f"{key}: {value} (of prompts {prompts.ref})")
    return found


def check_same_pictures(prompts: Artifact, settings: ModelSettings) -> None:
    """The prompts were learned from the pictures that these settings choose.

    Raises:
        UserError: one sentence per setting that differs, with both values.
    """
    learned = prompts.manifest.config.get("settings", {})
    pairs = {key: (learned[key], getattr(settings, key)) for key in CHOICE if key in learned}
    differing = {key: (_told(theirs), _told(ours)) for key, (theirs, ours) in pairs.items() if _value(theirs) != _value(ours)}
    if not differing:
        return
    sentences = [
        f"Prompts {prompts.ref} were learned with {key} = {theirs}, these settings fine-tune with {ours}."
        for key, (theirs, ours) in differing.items()
    ]
    options = " ".join(f"--set '{key}={theirs}'" for key, (theirs, _) in differing.items())
    raise UserError(" ".join(sentences), f"Fine-tune as they were learned: {options}; or learn prompts with the other.")


def _value(given: Any) -> Any:
    """Splits in any order are the same pictures."""
    return set(given) if isinstance(given, (list, tuple)) else given


def _told(value: Any) -> str:
    """A value as --set reads it."""
    return json.dumps(value if isinstance(value, str) else list(value))
