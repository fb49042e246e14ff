"""The encoder as inference uses it: pictures in, one vector per picture out; self-contained on disk.

A saved encoder is ``encoder.safetensors`` and ``encoder.json``. Nothing else is needed to load it: not the CLIP it came from, no download.
Keys: ``image_encoder.*`` and, when the feature is taken after BatchNorm, ``bottleneck.*`` and ``bottleneck_proj.*`` (the latter only with
a joint space).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.heads import ReidHeads
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.clip.image_features import ImageFeatures
from reidclip.clip.weights import check_finite
from reidclip.data.transforms import NORMALISATIONS, Normalisation
from reidclip.errors import UserError
from reidclip.formulas.distances import at_least_float32

WEIGHTS_FILE = "encoder.safetensors"
CONFIG_FILE = "encoder.json"
_FORMAT = 1
_INSTANCE = "instance"


@dataclass(frozen=True)
class InferenceOptions:
    """How a feature is made.

    Attributes:
        mean, std: normalisation per channel of RGB in 0..1; unused with ``per_picture``.
        resize: Pillow filter that brings a picture to the encoder's size.
        neck: "before" takes features as they leave the encoder, "after" those behind the BatchNorms.
        normalise: divide the joined vector by its length. Such features are compared by their cosine, others by Euclidean distance.
        flip: average with the mirrored picture (before normalising).
        per_picture: each picture is normalised by its own mean and deviation (`reidclip.data.transforms.Normalisation`).
    """

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    resize: Literal["bilinear", "bicubic"] = "bilinear"
    neck: Literal["before", "after"] = "before"
    normalise: bool = True
    flip: bool = False
    per_picture: bool = False

    @property
    def normalisation(self) -> Normalisation:
        """What pictures go through before the encoder."""
        return NORMALISATIONS[_INSTANCE] if self.per_picture else Normalisation(self.mean, self.std)

    def to_json(self) -> dict[str, Any]:
        """As plain values; ``normalisation`` stands in place of ``mean`` and ``std`` where these are each picture's own."""
        # Without mean and std, a version that does not know the key refuses the file; it would give wrong features otherwise.
        own = {"normalisation": _INSTANCE} if self.per_picture else {"mean": list(self.mean), "std": list(self.std)}
        return {**own, "resize": self.resize, "neck": self.neck, "normalise": self.normalise, "flip": self.flip}

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> InferenceOptions:
        """What `to_json` made. Raises `KeyError`, `TypeError` or `ValueError` where a key is missing or wrong."""
        named = config.get("normalisation")
        if named not in (None, _INSTANCE):
            raise ValueError(f"normalisation {named!r} is not known")
        options = cls(
            resize=config["resize"],
            neck=config["neck"],
            normalise=bool(config["normalise"]),
            flip=bool(config["flip"]),
            per_picture=named == _INSTANCE,
        )
        return options if options.per_picture else replace(options, mean=_three(config["mean"]), std=_three(config["std"]))


class InferenceEncoder(nn.Module):
    """An image encoder and what has to be known to use it.

    Attributes:
        image_encoder: the tower.
        options: how a feature is made; may be replaced (``encoder.options = replace(encoder.options, flip=True)``).
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        options: InferenceOptions | None = None,
        heads: ReidHeads | nn.BatchNorm1d | None = None,
    ) -> None:
        """Wrap an encoder.

        Args:
            image_encoder: trained tower (shared, not copied).
            options: defaults of `InferenceOptions` when None.
            heads: source of the BatchNorms, needed for ``neck="after"``; of an encoder without joint space the BatchNorm on ``pooled``.

        Raises:
            ValueError: ``neck="after"`` without heads.
        """
        super().__init__()
        self.image_encoder = image_encoder
        self.options = options or InferenceOptions()
        if self.options.neck == "after" and heads is None:
            raise ValueError("features after BatchNorm need the heads that were trained with the encoder")
        if heads is not None and self.options.neck == "after":
            self.bottleneck = heads.pooled.bottleneck if isinstance(heads, ReidHeads) else heads
            if isinstance(heads, ReidHeads) and heads.projected is not None:
                self.bottleneck_proj = heads.projected.bottleneck

    @property
    def width(self) -> int:
        """Length of a feature: widths of ``pooled`` and ``projected`` together."""
        return self.image_encoder.pooled_width + self.image_encoder.joint_width

    def forward(self, images: Tensor, camera: Tensor | None = None) -> Tensor:
        """Features of normalised pictures.

        Args:
            images: (B, 3, H, W), normalised as ``options.normalisation`` says.
            camera: (B,) camera indices for encoders with camera embeddings, else unused.

        Returns:
            (B, width): ``pooled`` and ``projected`` joined; the former alone without joint space.
        """
        return self.normalised(self.raw(images, camera))

    def raw(self, images: Tensor, camera: Tensor | None = None) -> Tensor:
        """`forward` before normalising: what is averaged over the clips of a tracklet. Of clips (B, T, 3, H, W) the mean over T frames."""
        feature = self._joined(images, camera)
        return (feature + self._joined(images.flip(-1), camera)) / 2 if self.options.flip else feature

    def normalised(self, feature: Tensor) -> Tensor:
        """(B, width) divided by their lengths, when the options say so."""
        return F.normalize(feature, dim=1) if self.options.normalise else feature

    @torch.no_grad()
    def features(self, images: Tensor, camera: Tensor | None = None) -> Tensor:
        """`forward` without gradients; the module must be in evaluation mode for results that do not depend on the batch."""
        result: Tensor = self(images, camera)
        return result

    def to_config(self) -> dict[str, Any]:
        """Everything but the weights, as plain values for JSON."""
        return {"format": _FORMAT, "encoder": self.image_encoder.config.to_json(), **self.options.to_json()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> InferenceEncoder:
        """Build what `to_config` describes, with random weights, in evaluation mode.

        Raises:
            UserError: a format of a later version, or a key that is missing or wrong.
        """
        if config.get("format") != _FORMAT:
            raise UserError(f"Encoder format {config.get('format')!r} is not known (this version reads {_FORMAT}).", "Update reidclip.")
        try:
            options = InferenceOptions.from_json(config)
            encoder = make_image_encoder(EncoderConfig.from_json(config["encoder"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"Not an encoder's configuration: {error}.", "Write the checkpoint again.") from error
        heads: ReidHeads | nn.BatchNorm1d | None = None
        if options.neck == "after" and encoder.joint_width:
            heads = ReidHeads(encoder.pooled_width, encoder.joint_width, 1)
        elif options.neck == "after":
            heads = nn.BatchNorm1d(encoder.pooled_width)
        return cls(encoder, options, heads).eval()

    def save(self, folder: Path) -> None:
        """Write ``encoder.safetensors`` and ``encoder.json`` into an existing folder."""
        state = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        (folder / CONFIG_FILE).write_text(json.dumps(self.to_config(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> InferenceEncoder:
        """Read what `save` wrote, in evaluation mode.

        Raises:
            UserError: a file is missing or broken, or weights and configuration do not fit.
        """
        try:
            config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            state = {key: value.clone() for key, value in load_file(folder / WEIGHTS_FILE).items()}  # not mapped into the file
        except (OSError, ValueError, SafetensorError) as error:
            raise UserError(f"No readable encoder in {folder}: {error}.", f"It needs {CONFIG_FILE} and {WEIGHTS_FILE}.") from error
        if not isinstance(config, dict):
            raise UserError(f"{folder / CONFIG_FILE} is not an encoder's configuration.", "Write the checkpoint again.")
        check_finite(state, folder / WEIGHTS_FILE)
        try:
            with torch.device("meta"):  # no random numbers for weights that are replaced anyway
                encoder = cls.from_config(config)
        except UserError as error:
            raise UserError(f"{folder / CONFIG_FILE}: {error.what}", error.remedy) from error
        try:
            encoder.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise UserError(f"{folder / WEIGHTS_FILE} does not fit {CONFIG_FILE} beside it.", "Write the checkpoint again.") from error
        return encoder.to(device)

    def join(self, features: ImageFeatures) -> Tensor:
        """The encoder's outputs as one vector per picture, not yet averaged over mirror images nor normalised: (B, width)."""
        parts = [features.pooled, features.projected] if self.image_encoder.joint_width else [features.pooled]
        if self.options.neck == "after":
            necks = [self.bottleneck, self.bottleneck_proj] if self.image_encoder.joint_width else [self.bottleneck]
            parts = [neck(part) for neck, part in zip(necks, parts, strict=True)]
        return at_least_float32(torch.cat(parts, dim=1))  # averaging and normalising in half precision would make ties of ranks

    def _joined(self, images: Tensor, camera: Tensor | None) -> Tensor:
        return self.join(self.image_encoder(images, camera))


def _three(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(v) for v in values)
    return first, second, third
