"""CLIP-ReID's own checkpoints (Li, Sun, Li; AAAI 2023; Syliz517/CLIP-ReID): ViT or RN50, with camera embedding or overlapping patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from reidclip.clip.architecture import EncoderConfig, encoder_config
from reidclip.clip.geometry import Size
from reidclip.clip.inference import InferenceOptions
from reidclip.data.transforms import NORMALISATIONS
from reidclip.errors import UserError
from reidclip.importers.content import Content
from reidclip.importers.imported import Imported, build_encoder, feature_facts
from reidclip.importers.options import ImportOptions
from reidclip.importers.recognise import CLIPREID

SIZES: tuple[Size, ...] = ((256, 128), (256, 256), (384, 128), (224, 224), (384, 192), (224, 112))
"""Input sizes (height, width) to try, the usual ones first; 256x256 is that of the vehicle recipes."""
STRIDES = (16, 12, 14, 8, 32)
_TOWER, _CAMERAS = "image_encoder.", "cv_embed"
_HEAD_WIDTH = 64  # of every CLIP that was published


def read(content: Content, options: ImportOptions) -> Imported:
    """Image encoder and, for features after BatchNorm, the two BatchNorms; the text side and the classifiers are left out.

    Raises:
        UserError: the position table fits no usual input size, or weights do not fit.
    """
    path, state = content.path, content.tensors
    tower = {key.removeprefix(_TOWER): value for key, value in state.items() if key.startswith(_TOWER)}
    resnet = "attnpool.positional_embedding" in tower
    model = _resnet(tower) if resnet else _vit(tower)
    cameras = len(state[_CAMERAS]) if _CAMERAS in state else 0
    coefficient = 1.0 if options.sie_coefficient is None else options.sie_coefficient
    config = _geometry(path, model, tower, options, cameras if not resnet else 0, coefficient)
    neck = options.neck or "before"
    weights = {f"{_TOWER}{key}": value for key, value in tower.items()}
    if config.sie_cameras:
        weights[f"{_TOWER}camera_embedding"] = state[_CAMERAS]
    if neck == "after":
        weights |= {key: value for key, value in state.items() if key.startswith(("bottleneck.", "bottleneck_proj."))}
    normalisation = NORMALISATIONS["imagenet" if resnet else "half"]
    encoder = build_encoder(path, config, InferenceOptions(normalisation.mean, normalisation.std, neck=neck), weights)
    return Imported(
        kind=CLIPREID,
        method="CLIP-ReID (imported)",
        holds="encoder",
        facts={"identities": _identities(state), "architecture": _name(model), **feature_facts(encoder)},
        write=encoder.save,
        notes=tuple(_notes(state, config, options)),
    )


def _geometry(
    path: Path, model: Mapping[str, Any], tower: Mapping[str, Tensor], options: ImportOptions, cameras: int, coefficient: float
) -> EncoderConfig:
    """The first usual size and stride whose token grid has as many cells as the position table; those given are not varied."""
    table = tower.get("positional_embedding", tower.get("attnpool.positional_embedding"))
    cells = 0 if table is None else len(table) - 1
    for size in [options.size] if options.size else SIZES:
        for stride in [options.stride] if options.stride else STRIDES:
            try:
                config = encoder_config(model, size, stride, cameras, coefficient)
            except UserError:
                continue  # a stride or size that this architecture does not have
            if config.grid[0] * config.grid[1] == cells:
                return config
    told = [f"{options.size[0]}x{options.size[1]}"] if options.size else []
    told += [f"stride {options.stride}"] if options.stride else []
    tried = f"{' at '.join(told)} does not give" if told else "no usual input size and stride give"
    raise UserError(
        f"The position table of {path} has {cells} cells, which {tried}.",
        "Name the size (height x width) and stride of its training: --size 256x128 --stride 16.",
    )


def _vit(tower: Mapping[str, Tensor]) -> dict[str, Any]:
    width, joint = tower["proj"].shape
    patch = tower["conv1.weight"].shape[-1]
    layers = _count(tower, "transformer.resblocks.")
    vision = {"image_size": 224, "layers": layers, "width": width, "patch_size": patch, "head_width": _HEAD_WIDTH}
    return {"embed_dim": joint, "quick_gelu": True, "vision_cfg": vision}


def _resnet(tower: Mapping[str, Tensor]) -> dict[str, Any]:
    layers = [_count(tower, f"layer{stage}.") for stage in (1, 2, 3, 4)]
    width = 2 * tower["conv1.weight"].shape[0]
    vision = {"image_size": 224, "layers": layers, "width": width, "head_width": _HEAD_WIDTH}
    return {"embed_dim": tower["attnpool.c_proj.weight"].shape[0], "quick_gelu": True, "vision_cfg": vision}


def _count(tower: Mapping[str, Tensor], prefix: str) -> int:
    return len({key.removeprefix(prefix).partition(".")[0] for key in tower if key.startswith(prefix)})


def _identities(state: Mapping[str, Tensor]) -> int | None:
    return len(state["classifier.weight"]) if "classifier.weight" in state else None


def _name(model: Mapping[str, Any]) -> str:
    vision = model["vision_cfg"]
    if isinstance(vision["layers"], list):
        return f"ResNet {'-'.join(str(n) for n in vision['layers'])}"
    return f"ViT, {vision['layers']} layers of width {vision['width']}, patch {vision['patch_size']}"


def _notes(state: Mapping[str, Tensor], config: EncoderConfig, options: ImportOptions) -> Iterator[str]:
    height, width = config.image_size
    if options.size is None or options.stride is None:
        guessed = " and ".join(name for name, given in (("--size", options.size), ("--stride", options.stride)) if given is None)
        yield f"Input {height}x{width} at stride {config.stride} is what the position table allows; {guessed} can say otherwise."
    if config.sie_cameras and options.sie_coefficient is None:
        yield "The file does not tell the factor of the camera embedding: 1, as in the published command; --sie-coefficient says otherwise."
    if _CAMERAS in state and not config.sie_cameras:
        yield "The camera embedding of a ResNet, which its program never used, was left out."
