"""The prompts artifact as ``finetune`` reads it: checked to be whole, and to belong to this CLIP and these identities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reidclip.artifacts.store import Artifact
from reidclip.clip.load import ClipModel
from reidclip.errors import UserError, WorkError
from reidclip.records import LabelMap

_LEARN_AGAIN = "Learn prompts of this data, by this method: reidclip prompt-learn."


def read_prompts(artifact: Artifact, clip: ClipModel, labels: LabelMap) -> dict[str, Tensor]:
    """Tensors of a prompts artifact, checked to belong to this CLIP and these identities.

    Raises:
        UserError: learned with another CLIP, or for other labels.
        WorkError: not what prompt-learn writes, or damaged.
    """
    facts = _facts_of_prompts(artifact)
    if facts["clip_digest"] != clip.digest:
        raise UserError(
            f"Prompts {artifact.ref} were learned with CLIP '{facts['clip']}', these settings load '{clip.spec}', whose weights differ.",
            f"Use --set clip={facts['clip']}, or learn prompts with the CLIP you mean.",
        )
    if facts["pids"] != [pid for pid, _ in sorted(labels.pids.items(), key=lambda pair: pair[1])]:
        raise UserError(f"Prompts {artifact.ref} were learned for other identities.", _LEARN_AGAIN)
    path = artifact.file("prompts.safetensors")
    try:
        return _PromptTensors(load_file(path), artifact.ref)
    except SafetensorError as error:
        raise WorkError(f"{path} is not a readable safetensors file: {error}.", _LEARN_AGAIN) from error


class _PromptTensors(dict[str, Tensor]):
    """Tensors by name; a method that asks for one that was never learned gets an error to show."""

    def __init__(self, tensors: Mapping[str, Tensor], ref: str) -> None:
        super().__init__(tensors)
        self.ref = ref

    def __missing__(self, name: str) -> Tensor:
        raise UserError(f"Prompts {self.ref} hold no '{name}', which this method reads; they hold {', '.join(sorted(self))}.", _LEARN_AGAIN)


def _facts_of_prompts(artifact: Artifact) -> dict[str, Any]:
    """What ``labels.json`` says, checked to be what prompt-learn writes."""
    path = artifact.file("labels.json")
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = [key for key in ("clip", "clip_digest", "pids") if key not in facts]
    except (ValueError, TypeError) as error:
        raise WorkError(f"{path} is not what prompt-learn writes: {error}.", _LEARN_AGAIN) from error
    if lacking:
        raise WorkError(f"{path} is not what prompt-learn writes: it lacks {', '.join(lacking)}.", _LEARN_AGAIN)
    return facts
