"""Loads a CLIP: a spec becomes image encoder, text encoder, tokenizer and preprocessing, ready for re-identification."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reidclip.clip import weights
from reidclip.clip.architecture import build_towers, encoder_config
from reidclip.clip.geometry import Size
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder
from reidclip.clip.sources import Source, find
from reidclip.clip.supported import check_supported, is_published_kind
from reidclip.errors import UserError

if TYPE_CHECKING:  # encoders without text are used where nothing of text is installed
    from reidclip.clip.text_encoder import TextEncoder
    from reidclip.clip.tokenizer import Tokenizer

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # OpenAI's, the default of open_clip
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, eq=False)
class ClipModel:
    """A loaded CLIP.

    Attributes:
        name: architecture or model name ("ViT-B-16-quickgelu", "reidclip-tiny").
        spec: what was asked for ("ViT-B-16:openai").
        image_encoder: trainable, in training mode, as torch modules are born.
        text_encoder: likewise; whoever keeps it fixed calls ``text_encoder.freeze()`` (prompt learners do).
        tokenizer: texts to token ids.
        digest: SHA-256 of the weights as loaded, before positions were resized: says which CLIP prompts and features belong to.
        mean, std: normalisation that this CLIP was trained with, per channel of RGB in 0..1; recipes may choose another.
        interpolation: "bicubic" or "bilinear", as this CLIP was trained.
        image_size: (height, width) in pixels that the image encoder takes.
        logit_scale: exp of CLIP's learned log-temperature, the factor on cosines. SigLIP adds a learned bias to all of them alike, which
            changes no softmax and no ranking, and is left out.
        model: open_clip's model configuration.
        card: model card facts that came with the weights.
    """

    name: str
    spec: str
    image_encoder: ImageEncoder
    text_encoder: TextEncoder
    tokenizer: Tokenizer
    digest: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    image_size: Size
    logit_scale: float
    model: Mapping[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def joint_width(self) -> int:
        """D, the width of ``projected`` and of text features."""
        return self.image_encoder.joint_width

    @property
    def pooled_width(self) -> int:
        """Width of ``pooled``."""
        return self.image_encoder.pooled_width

    @property
    def last_width(self) -> int:
        """Width of ``last``."""
        return self.image_encoder.last_width


def load_clip(
    spec: str,
    *,
    image_size: Size = (256, 128),
    stride: int | None = None,
    device: torch.device | str = "cpu",
    sie_cameras: int = 0,
    sie_coefficient: float = 1.0,
) -> ClipModel:
    """Load a CLIP (see `reidclip.clip.sources` for what a spec may be).

    Args:
        spec: "reidclip-tiny", "ViT-B-16:openai", a path, "path::ARCH", "random:ARCH", "resnet50:imagenet".
        image_size: (height, width) in pixels; the position table is resized to it.
        stride: ViT: distance of patches in pixels, None for the patch size; ResNet: overall stride 16 (None) or 32.
        device: where the encoders go.
        sie_cameras: number of camera embeddings (ViT), 0 for none; they start random.
        sie_coefficient: factor of the camera embedding.

    Raises:
        UserError: see `reidclip.clip.sources.find` and `reidclip.clip.architecture.encoder_config`; or weights that do not fit.
    """
    return assemble(
        find(spec), spec, image_size=image_size, stride=stride, device=device, sie_cameras=sie_cameras, sie_coefficient=sie_coefficient
    )


def assemble(
    source: Source,
    spec: str,
    *,
    image_size: Size = (256, 128),
    stride: int | None = None,
    device: torch.device | str = "cpu",
    sie_cameras: int = 0,
    sie_coefficient: float = 1.0,
) -> ClipModel:
    """Build the model of a source; `load_clip` without the search, for configurations and weights made in memory."""
    if "trunk" in source.model:
        from reidclip.clip.image_only import assemble_trunk  # it makes a ClipModel, so it comes after this module

        return assemble_trunk(source, spec, image_size=image_size, stride=stride, device=device, sie_cameras=sie_cameras)
    if "blip" in source.model:
        from reidclip.clip.blip_source import assemble_blip

        return assemble_blip(
            source, spec, image_size=image_size, stride=stride, device=device, sie_cameras=sie_cameras, sie_coefficient=sie_coefficient
        )
    from reidclip.clip.text_encoder import TextEncoder
    from reidclip.clip.tokenizer import make_tokenizer

    check_supported(source.name, source.model)
    config = encoder_config(source.model, image_size, stride, sie_cameras, sie_coefficient)
    tokenizer = make_tokenizer(source.model["text_cfg"], source.folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.seed)
        towers = _towers(source, spec)
        digest = weights.digest(towers.state_dict(), bool(source.model.get("quick_gelu", False)))
        image_encoder = make_image_encoder(config, towers.visual).to(device)
    scale = float(towers.logit_scale.detach().exp())
    mean, std = (_three(source.preprocess.get(key), default) for key, default in (("mean", CLIP_MEAN), ("std", CLIP_STD)))
    return ClipModel(
        name=source.name,
        spec=spec,
        image_encoder=image_encoder,
        text_encoder=TextEncoder(towers).to(device),
        tokenizer=tokenizer,
        digest=digest,
        mean=mean,
        std=std,
        interpolation=str(source.preprocess.get("interpolation", "bicubic")),
        image_size=image_size,
        logit_scale=scale,
        model=source.model,
        # Nobody published training with plain dot products of other towers' features, whose lengths may be anything.
        card=source.card if is_published_kind(source.model) else {"similarity": "cosine", **source.card},
    )


def save_clip(
    path: Path,
    image_encoder: ImageEncoder,
    text_encoder: TextEncoder,
    logit_scale: float,
    model: Mapping[str, Any],
    *,
    mean: tuple[float, float, float] = CLIP_MEAN,
    std: tuple[float, float, float] = CLIP_STD,
    interpolation: str = "bicubic",
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a CLIP as ``path`` (safetensors, open_clip's names) and its configuration beside it (.json); `load_clip` reads both.

    The image encoder's geometry becomes the model's own: ``vision_cfg.image_size`` is its ``image_size``.

    Args:
        path: a file name that ends in .safetensors.
        image_encoder, text_encoder: the towers; an overlapping patch stride or camera embeddings cannot be written.
        logit_scale: exp of the learned log-temperature.
        model: open_clip's model configuration that both were built from.
        mean, std, interpolation: preprocessing that they were trained with.
        card: model card facts.
        dtype: precision of the file.

    Raises:
        ValueError: the encoder has a geometry that open_clip's configuration cannot say.
    """
    config = image_encoder.config
    if "blip" in model:
        raise ValueError("a BLIP is no CLIP of open_clip's: save it with InferenceEncoder.save")
    if config.sie_cameras or (not config.is_resnet and config.stride != config.patch[0]):
        raise ValueError("camera embeddings and overlapping patches belong to a fine-tuned encoder: save it with InferenceEncoder.save")
    state = {f"visual.{key}": value for key, value in image_encoder.state_dict().items()} | text_encoder.state_dict()
    state["logit_scale"] = torch.tensor(logit_scale).log()
    tensors = {key: _written(value, dtype) for key, value in state.items()}
    save_file(tensors, path, metadata={"format": "pt"})
    kept = {key: value for key, value in model.items() if key != "init_logit_bias"}  # a bias on all cosines alike is not kept
    document = {
        "model_cfg": {**kept, "vision_cfg": {**model["vision_cfg"], "image_size": list(config.image_size)}},
        "preprocess_cfg": {"size": list(config.image_size), "mean": list(mean), "std": list(std), "interpolation": interpolation},
        "card": dict(card or {}),
    }
    path.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _written(value: Tensor, dtype: torch.dtype) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.to(dtype) if value.is_floating_point() else value


def _towers(source: Source, spec: str) -> Any:
    if source.state is None:
        return build_towers(source.model)
    with torch.device("meta"):  # no random numbers for weights that are replaced anyway
        towers = build_towers(source.model)
    _fit_position_table(towers, source.state)
    wrong = [
        f"{key} is {tuple(source.state[key].shape)}, not {tuple(value.shape)}"
        for key, value in towers.state_dict().items()
        if key in source.state and source.state[key].shape != value.shape
    ]
    missing = sorted(set(towers.state_dict()) - set(source.state))
    unknown = sorted(key for key in set(source.state) - set(towers.state_dict()) if not _is_decoders(key, source))
    if wrong or missing or unknown:
        first = next(iter(wrong + [f"{key} is missing" for key in missing] + [f"{key} is not part of it" for key in unknown]))
        raise UserError(
            f"The weights of {spec} are not those of '{source.name}' ({first}; {len(wrong) + len(missing) + len(unknown)} differences).",
            "Name the right architecture: PATH::ARCH.",
        )
    towers.load_state_dict({key: value for key, value in source.state.items() if not _is_decoders(key, source)}, assign=True)
    return towers


def _is_decoders(key: str, source: Source) -> bool:
    """Whether a weight is of CoCa's decoder, which writes captions and is not used."""
    return "multimodal_cfg" in source.model and key.startswith("text_decoder.")


def _fit_position_table(towers: Any, state: Mapping[str, Tensor]) -> None:
    """A ResNet's table may belong to a picture that is not square, which open_clip's constructor cannot say."""
    table = state.get("visual.attnpool.positional_embedding")
    if table is not None and hasattr(towers.visual, "attnpool"):
        towers.visual.attnpool.positional_embedding = nn.Parameter(torch.empty_like(table, device="meta"))


def _three(value: Any, default: tuple[float, float, float]) -> tuple[float, float, float]:
    if value is None:
        return default
    red, green, blue = (float(v) for v in value)
    return red, green, blue
