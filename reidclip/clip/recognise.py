"""Finds the open_clip architecture that a file of weights belongs to, by shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from reidclip.clip.architecture import is_resnet, pair
from reidclip.clip.supported import supported_names
from reidclip.clip.timm_tower import is_timm, timm_shapes
from reidclip.errors import UserError

_QUICK = "-quickgelu"


def recognise(path: Path, state: Mapping[str, Tensor]) -> str:
    """Name of the architecture whose shapes these weights have.

    Shapes do not tell the activation: where an architecture exists with GELU and with QuickGELU, the file's name must say
    ("openai", "quickgelu"), else the caller has to; a wrong guess would quietly spoil every feature.

    Raises:
        UserError: no architecture fits, or several do.
    """
    facts = _facts_of_weights(state)
    fitting = _of_timm(state, facts) if is_timm_state(state) else _of_clip(facts)
    quick = [name for name in fitting if name.endswith(_QUICK)]
    if quick and any(word in path.name.lower() for word in ("openai", "quickgelu")):
        fitting = quick
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UserError(
            f"{path} fits no architecture of open_clip ({', '.join(f'{k} {v}' for k, v in facts.items())}).",
            f"Put its configuration beside it as {path.with_suffix('.json').name}.",
        )
    which = f" ({quick[0]} for OpenAI's own weights)" if quick else ""
    raise UserError(f"{path} fits {' and '.join(fitting)}.", f"Name the right one: {path}::{quick[0] if quick else fitting[0]}{which}.")


def is_timm_state(state: Mapping[str, Tensor]) -> bool:
    """Whether the image tower of these weights is timm's."""
    return any(key.startswith("visual.trunk.") for key in state)


def _configs() -> dict[str, Any]:
    import open_clip

    return {name: open_clip.get_model_config(name) for name in supported_names()}


def _of_clip(facts: Mapping[str, Any]) -> list[str]:
    configs = _configs()
    return [name for name, config in configs.items() if not is_timm(config) and _facts_of_config(config) == facts]


def _of_timm(state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> list[str]:
    """Architectures with this text tower whose image tower, built without memory, has these shapes."""
    configs = _configs()
    alike = [name for name, config in configs.items() if is_timm(config) and _text_facts(config).items() <= facts.items()]
    shapes = {key.removeprefix("visual."): value.shape for key, value in state.items() if key.startswith("visual.")}
    return [name for name in alike if timm_shapes(configs[name]) == shapes]


def _facts_of_weights(state: Mapping[str, Tensor]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "text width": _rows(state, "ln_final.weight"),
        "text layers": _count(state, "transformer.resblocks."),
        "vocabulary": _rows(state, "token_embedding.weight"),
        "context": _rows(state, "positional_embedding"),
    }
    if is_timm_state(state):
        return facts
    if "visual.proj" in state:
        convolution = state["visual.conv1.weight"].shape
        facts |= {"width": convolution[0], "patch": tuple(convolution[2:]), "layers": _count(state, "visual.transformer.resblocks.")}
        facts |= {"positions": _rows(state, "visual.positional_embedding"), "joint width": state["visual.proj"].shape[1]}
    else:
        facts |= {
            "width": 2 * state["visual.conv1.weight"].shape[0],
            "layers": tuple(_count(state, f"visual.layer{i}.") for i in (1, 2, 3, 4)),
        }
        facts |= {
            "positions": _rows(state, "visual.attnpool.positional_embedding"),
            "joint width": _rows(state, "visual.attnpool.c_proj.weight"),
        }
    return facts


def _facts_of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    vision = config["vision_cfg"]
    facts = _text_facts(config) | {"width": vision.get("width", 768)}
    height, width = pair(vision.get("image_size", 224))
    if is_resnet(config):
        facts |= {"layers": tuple(vision["layers"]), "positions": (height // 32) * (width // 32) + 1}
    else:
        patch = pair(vision.get("patch_size", 16))
        facts |= {"patch": patch, "layers": vision.get("layers", 12), "positions": (height // patch[0]) * (width // patch[1]) + 1}
    return facts | {"joint width": config["embed_dim"]}


def _text_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    text = config["text_cfg"]
    return {
        "text width": text.get("width", 512),
        "text layers": text.get("layers", 12),
        "vocabulary": text.get("vocab_size", 49408),
        "context": text.get("context_length", 77) + bool(text.get("embed_cls")),
    }


def _rows(state: Mapping[str, Tensor], key: str) -> int:
    return int(state[key].shape[0]) if key in state else 0


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})
