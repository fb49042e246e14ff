"""What an importer hands over: an encoder or a parser ready to be written, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.errors import UserError


@dataclass(frozen=True)
class Imported:
    """Weights that were read and understood.

    Attributes:
        kind: "clipreid", "clip", "schp", "simple-ccreid".
        method: of the paper whose program trained them, for the manifest.
        holds: "encoder" or "parser".
        facts: what the file and the paper tell: identities, geometry, how features are made.
        write: puts the payload into a folder.
        notes: what a reader of results should know.
    """

    kind: str
    method: str
    holds: Literal["encoder", "parser"]
    facts: Mapping[str, Any]
    write: Callable[[Path], None]
    notes: tuple[str, ...] = field(default=())


def build_encoder(path: Path, config: EncoderConfig, options: InferenceOptions, state: Mapping[str, Tensor]) -> InferenceEncoder:
    """An encoder with these weights, in evaluation mode.

    Args:
        path: where they came from, for errors.
        config: architecture and geometry.
        options: how features are made.
        state: weights by the encoder's own names (`reidclip.clip.inference`).

    Raises:
        UserError: weights are missing, left over, of another shape, or not finite.
    """
    document = {"format": 1, "encoder": config.to_json(), **options.to_json()}
    with torch.device("meta"):  # no random numbers for weights that are replaced anyway
        encoder = InferenceEncoder.from_config(document)
    _check(path, encoder, state)
    # Copies: the file may be mapped into memory, and whoever rewrote it would change the model.
    encoder.load_state_dict({key: _plain(value) for key, value in state.items()}, assign=True)
    return encoder


def feature_facts(encoder: InferenceEncoder) -> dict[str, Any]:
    """How the encoder makes a feature, for the manifest."""
    options, config = encoder.options, encoder.image_encoder.config
    return {
        "size": list(config.image_size),
        "stride": config.stride,
        "cameras": config.sie_cameras,
        "feature": {
            "width": encoder.width,
            "neck": options.neck,
            "flip": options.flip,
            "normalised": options.normalise,
            **{key: value for key, value in options.to_json().items() if key in ("normalisation", "mean", "std", "resize")},
        },
    }


def _check(path: Path, encoder: InferenceEncoder, state: Mapping[str, Tensor]) -> None:
    wanted = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    wrong = [
        f"{key} is {tuple(state[key].shape)}, not {shape}" for key, shape in wanted.items() if key in state and state[key].shape != shape
    ]
    wrong += [f"{key} is missing" for key in wanted if key not in state] + [
        f"{key} is not part of it" for key in state if key not in wanted
    ]
    if wrong:
        count = f"{len(wrong)} difference{'s' if len(wrong) > 1 else ''}"
        raise UserError(
            f"{path} does not fit the model that it seems to be: {wrong[0]} ({count}).",
            "Its program may have been changed: only the published architectures can be imported.",
        )
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise UserError(
            f"{path} holds weights that are not finite; the first is {broken[0]}.", "The training that wrote it failed: take earlier ones."
        )


def _plain(value: Tensor) -> Tensor:
    return value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True).contiguous()
