"""What a method's settings may say and still not do: told before anything is read, not found out after hours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from reidclip.errors import UserError
from reidclip.interfaces import Method
from reidclip.settings import Settings


def check_effect(method: Method, command: str, settings: Settings, given: Collection[str]) -> None:
    """Every setting that the user gave takes part, under the others.

    Args:
        given: keys of --config and --set; what recipes and defaults hold beside them may lie idle.

    Raises:
        UserError: naming the first that does not, and what keeps it from it.
    """
    idle: Mapping[str, str] = getattr(method, "without_effect", lambda command, settings: {})(command, settings)
    key = next((key for key in given if key in idle), None)
    if key is not None:
        raise UserError(
            f"Setting '{key}' of method {method.name} does nothing with {idle[key]}.", f"Leave it out, or change {idle[key].split(' ')[0]}."
        )


def check_text(method: Method, command: str, settings: Settings) -> None:
    """A method that reads text has a CLIP with a text encoder.

    Raises:
        UserError: its ``clip`` is an image encoder alone.
    """
    from reidclip.clip.trunk_source import is_without_text

    spec: Any = getattr(settings, "clip", None)
    reads_text = command == "prompt-learn" or method.needs_prompts(settings)
    if reads_text and isinstance(spec, str) and is_without_text(spec):
        raise UserError(
            f"'{spec}' is an image encoder without text, which method {method.name} reads under these settings.",
            "Give a CLIP, such as --clip ViT-B-16:openai, or take a method without prompts, such as --method cal.",
        )
