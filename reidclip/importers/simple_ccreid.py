"""Simple-CCReID's ResNet-50 (CAL; Gu et al., CVPR 2022; guxinqian/Simple-CCReID)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from reidclip.clip.inference import InferenceOptions
from reidclip.clip.trunk import Pooling, trunk_config
from reidclip.data.transforms import NORMALISATIONS
from reidclip.errors import UserError
from reidclip.importers.content import Content
from reidclip.importers.imported import Imported, build_encoder, feature_facts
from reidclip.importers.options import ImportOptions
from reidclip.importers.recognise import SIMPLE_CCREID

SIZE = (384, 192)  # (height, width), of the published configurations
# The trunk is a row of torchvision's modules: place in the row -> name.
_MODULES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_CHANNELS = 2048


def read(content: Content, options: ImportOptions) -> Imported:
    """ResNet-50 and the BatchNorm behind its pooling; features as published: after BatchNorm, both mirror images, unit length.

    Raises:
        UserError: a model of videos, another pooling than can be told, or weights that do not fit.
    """
    path, state = content.path, content.tensors
    if state["base.0.weight"].ndim != 4:
        raise UserError(f"{path} is Simple-CCReID's network for videos.", "Only its network for pictures (ResNet-50) can be imported.")
    neck = options.neck or "after"
    normalisation = NORMALISATIONS["imagenet"]
    config = trunk_config(options.size or SIZE, options.stride or 16, options.pooling or _pooling(path, len(state["bn.weight"])))
    weights = dict(_renamed(key, value, neck == "after") for key, value in state.items() if neck == "after" or not key.startswith("bn."))
    encoder = build_encoder(path, config, InferenceOptions(normalisation.mean, normalisation.std, neck=neck, flip=True), weights)
    assumed = [] if options.size else [f"Input {SIZE[0]}x{SIZE[1]} as published; the weights do not tell (--size)."]
    return Imported(
        kind=SIMPLE_CCREID,
        method="Simple-CCReID (imported)",
        holds="encoder",
        facts={
            "identities": _identities(content),
            "architecture": f"ResNet-50, {config.model['pooling']} pooling",
            **feature_facts(encoder),
        },
        write=encoder.save,
        notes=tuple(assumed),
    )


def _pooling(path: Path, width: int) -> Pooling:
    if width == 2 * _CHANNELS:
        return "max+avg"
    raise UserError(
        f"{path} pools to {width} numbers, so not by maximum and mean as published, and does not say how.",
        "Say it: --pooling avg or --pooling max (its GeM pooling cannot be imported).",
    )


def _renamed(key: str, value: Tensor, keep_neck: bool) -> tuple[str, Tensor]:
    if key.startswith("base."):
        _, place, rest = key.split(".", 2)
        return f"image_encoder.{_MODULES.get(place, place)}.{rest}", value
    return (f"bottleneck.{key.removeprefix('bn.')}" if keep_neck and key.startswith("bn.") else key), value


def _identities(content: Content) -> int | None:
    """Training identities, told by the classifier that lies beside the weights in the published program's checkpoints."""
    classifier = content.beside.get("classifier_state_dict")
    weights = [v for v in classifier.values() if isinstance(v, Tensor) and v.ndim == 2] if isinstance(classifier, Mapping) else []
    return len(weights[0]) if weights else None
