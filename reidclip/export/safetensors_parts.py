"""An encoder taken apart into what open_clip or timm build and load, and what lies behind it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reidclip.clip.architecture import build_towers
from reidclip.clip.image_encoder import ImageEncoder, ResNetEncoder, VitEncoder
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.student import StudentEncoder
from reidclip.clip.timm_net import build_net
from reidclip.clip.timm_trunk import TimmTrunk, facts_of
from reidclip.clip.trunk import TrunkEncoder
from reidclip.errors import UserError

_TEXT = {"context_length": 2, "vocab_size": 2, "width": 64, "heads": 1, "layers": 1}  # open_clip builds no image tower alone


@dataclass(frozen=True)
class Parts:
    """What is written.

    Attributes:
        library: "open_clip" or "timm".
        config: its own document: the model's configuration, or architecture and arguments.
        weights: its own state dict.
        reading: what `reidclip.export.safetensors_load` is told of how vectors are read off.
        extra: tensors behind the library's network.
        notes: sentences for ``export.json``.
    """

    library: str
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    reading: Mapping[str, Any]
    extra: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def taken_apart(encoder: InferenceEncoder) -> Parts:
    """The parts of an encoder.

    Raises:
        UserError: neither library can build it, with what of it they cannot.
    """
    tower = encoder.image_encoder
    if tower.config.context_block is not None:
        raise _refused(f"a context block ({tower.config.context_block}) between final map and pool")
    if tower.config.sie_cameras:
        raise _refused(f"embeddings of {tower.config.sie_cameras} cameras")
    if isinstance(tower, VitEncoder):
        parts = _of_vit(tower)
    elif isinstance(tower, ResNetEncoder):
        parts = _of_resnet(tower)
    else:
        parts = _of_timm(tower)
    return Parts(parts.library, parts.config, parts.weights, parts.reading, {**parts.extra, **_necks(encoder)}, parts.notes)


def _of_vit(tower: VitEncoder) -> Parts:
    if tower.config.patch != (tower.config.stride, tower.config.stride):
        raise _refused(f"overlapping patches (stride {tower.config.stride}, patches of {tower.config.patch[0]} pixels)")
    config = _clip_config(tower, list(tower.config.image_size))
    return Parts("open_clip", config, _clip_weights(config, tower), {"reading": "vit", "changes": {}}, {}, (_STAND_IN,))


def _of_resnet(tower: ResNetEncoder) -> Parts:
    height, width = tower.config.image_size
    config = _clip_config(tower, max(height, width))
    changes: dict[str, Any] = {}
    notes = [_STAND_IN]
    if tower.config.stride == 16:
        changes["last_stage_stride_1"] = True
    if changes or height != width:
        changes["positions"] = list(tower.config.grid)
        notes.append("open_clip's configuration cannot say the ResNet's stride nor pictures that are no squares: load.py says them.")
    return Parts("open_clip", config, _clip_weights(config, tower), {"reading": "resnet", "changes": changes}, {}, tuple(notes))


_STAND_IN = "The text tower in the file is a stand-in of zeros: open_clip builds no image tower alone."


def _clip_config(tower: ImageEncoder, image_size: Any) -> dict[str, Any]:
    model = copy.deepcopy(dict(tower.config.model))
    model["vision_cfg"]["image_size"] = image_size
    return {**model, "text_cfg": dict(_TEXT)}


def _clip_weights(config: Mapping[str, Any], tower: ImageEncoder) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        blank = build_towers(config).state_dict()
    weights = {key: torch.zeros_like(value) for key, value in blank.items() if not key.startswith("visual.")}
    return {**weights, **{f"visual.{key}": value for key, value in tower.state_dict().items()}}


def _of_timm(tower: ImageEncoder) -> Parts:
    backbone, head = (tower.backbone, tower.head) if isinstance(tower, StudentEncoder) else (tower, None)
    extra = {} if head is None else {f"head.{key}": value for key, value in head.state_dict().items()}
    told = {"reading": "map", "activation": tower.config.model["head"]["activation"] if head is not None else None}
    if isinstance(backbone, TrunkEncoder):
        changes = {"last_stage_stride_1": True} if backbone.config.stride == 16 else {}
        told |= {"layout": "NCHW", "prefix": 0, "pooling": str(backbone.config.model["pooling"]).split("+"), "changes": changes}
        config = {"architecture": "resnet50", "model_args": {}, "num_features": 2048}
        notes = ("timm's output_stride dilates; load.py sets the last stage's stride to 1 instead.",) if changes else ()
        return Parts("timm", config, backbone.state_dict(), told, extra, notes)
    if not isinstance(backbone, TimmTrunk):
        raise _refused(f"a tower of another kind ({type(backbone).__name__})")
    facts = facts_of(backbone.config)
    told |= {"layout": facts.layout, "prefix": facts.prefix, "pooling": ["avg"], "changes": {}}
    name = str(backbone.config.model["timm_model_name"]).partition(".")[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole: nn.Module = build_net(name, facts.options)
    weights = whole.state_dict()
    notes = ()
    if facts.unused:
        notes = (f"Random weights, which no vector passes: {', '.join(facts.unused)}.",)
    config = {"architecture": name, "model_args": dict(facts.options), "num_features": facts.width}
    return Parts("timm", config, {**weights, **backbone.net.state_dict()}, told, extra, notes)


def _necks(encoder: InferenceEncoder) -> dict[str, Tensor]:
    """A BatchNorm in evaluation mode is a scale and a shift."""
    if encoder.options.neck != "after":
        return {}
    found: dict[str, Tensor] = {}
    for number, name in enumerate(("bottleneck", "bottleneck_proj")):
        norm = getattr(encoder, name, None)
        if norm is None:
            continue
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        found |= {f"neck.{number}.scale": scale, f"neck.{number}.shift": norm.bias - norm.running_mean * scale}
    return {key: value.detach() for key, value in found.items()}


def _refused(what: str) -> UserError:
    return UserError(
        f"Neither open_clip nor timm can build this encoder: it has {what}.", "Export it with --format onnx or --format torch-export."
    )
