"""Heat maps of an encoder: which cells of a picture its feature comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.clip.blocks import is_plain, recorded_attention
from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.image_features import ImageFeatures
from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import UserError
from reidclip.formulas.attention_maps import grad_cam, gradient_relevance, hires_cam, rollout

MapKind = Literal["gradient", "rollout", "hirescam", "gradcam"]
_OF_VIT: tuple[MapKind, ...] = ("gradient", "rollout")
_OF_RESNET: tuple[MapKind, ...] = ("hirescam", "gradcam")


def choose_kind(encoder: ImageEncoder, wanted: str = "auto") -> MapKind:
    """The map that is drawn: the one wanted, or with "auto" the gradient-weighted attention of a ViT, and of a ResNet HiResCAM.

    Grad-CAM is what papers show. On CLIP's ResNets it is the worse map: it averages gradients over the places that the attention pool
    tells apart, comes out as zero for some pictures, and what it marks matters less to the feature than what HiResCAM marks.

    Raises:
        UserError: no such map, or one that this architecture does not have.
    """
    fitting = _OF_RESNET if encoder.config.is_resnet or getattr(encoder, "places_reach_feature", False) else _OF_VIT
    if fitting is _OF_VIT and encoder.config.is_foreign:
        what = "The attention of this image tower cannot be read: it is not CLIP's own ViT, nor does it pool its last map."
        raise UserError(what, "Take a checkpoint of CLIP's own ViT or ResNet, or of a tower that pools its places.")
    if fitting is _OF_VIT and not all(map(is_plain, _blocks(encoder))):
        what = "The attention of this ViT cannot be read: its blocks are a variant of open_clip's."
        raise UserError(what, "Take a checkpoint of CLIP's own ViT.")
    if wanted == "auto":
        return fitting[0]
    kind: MapKind | None = next((kind for kind in get_args(MapKind) if kind == wanted), None)
    if kind is None:
        raise UserError(
            f"There is no map '{wanted}'.", f"Use one of auto, {', '.join(get_args(MapKind))}; of distilled checkpoints transport too."
        )
    if kind not in fitting:
        name, has = ("ViT", "attention") if fitting is _OF_VIT else ("ResNet", "last feature map")
        name = "tower that pools its last map" if encoder.config.is_timm else name
        told = f"Map '{kind}' does not fit this encoder: it is a {name}, whose maps are made from its {has}."
        raise UserError(told, f"Use --map {' or '.join(fitting)}, or leave --map out.")
    return kind


def similarity(feature: Tensor, towards: Tensor | None = None) -> Tensor:
    """The score whose gradients the maps take: s = f . r / |f|, where r and the length |f| are held constant.

    Its value is the cosine similarity that ranking compares, with another picture's unit feature r, or with the picture's own feature,
    r = f / |f|, where it is 1. Why the length is held constant: the gradient of the cosine itself is the part of r across f,
    (r - (r . f / |f|) f / |f|) / |f|. It tells what would turn the feature, not what it is made of, and for the picture's own feature it
    is zero. With |f| constant the gradient is r / |f|, for the own feature f / |f|^2 = grad log |f|: what the feature's part along r is
    made of (with a mean pool in front of it, f . r is a sum over places, and this is that sum). Division by |f| keeps the score
    as blind as cosine ranking is to the scale of features.

    Args:
        feature: (B, W), not normalised.
        towards: (W,) unit vector; None takes each picture's own direction.

    Returns:
        (B,).
    """
    constant = feature.detach()
    reference = F.normalize(constant, dim=1) if towards is None else towards
    score: Tensor = (feature * reference).sum(dim=1) / constant.norm(dim=1).clamp_min(1e-12)
    return score


def heat_maps(
    encoder: InferenceEncoder, images: Tensor, kind: MapKind, camera: Tensor | None = None, towards: Tensor | None = None
) -> Tensor:
    """One map per picture, of the feature exactly as inference makes it: behind the neck it uses, over both mirror images where it does.

    Args:
        encoder: in evaluation mode.
        images: (B, 3, H, W), normalised.
        kind: as `choose_kind` gives it.
        camera: as `InferenceEncoder.forward` takes it.
        towards: (width,) unit feature of another picture, see `similarity`; rollout takes no account of it.

    Returns:
        (B, h, w) float32, non-negative, in the grid of the encoder's last tokens; may be zero everywhere. Of a ViT, what a context block
        behind its blocks carries from place to place is not traced.
    """
    mirrored = encoder.options.flip
    if mirrored:
        images = torch.cat([images, images.flip(-1)])
        camera = None if camera is None else torch.cat([camera, camera])
    if kind == "rollout":
        maps = _rollout(encoder, images, camera)
    elif kind == "gradient":
        maps = _gradient(encoder, images, camera, towards)
    else:
        maps = (grad_cam if kind == "gradcam" else hires_cam)(*_last_map(encoder, images, camera, towards))
    maps = maps.float()
    if mirrored:
        own, other = maps.chunk(2)
        return (own + other.flip(-1)) / 2
    return maps


def _last_map(encoder: InferenceEncoder, images: Tensor, camera: Tensor | None, towards: Tensor | None) -> tuple[Tensor, Tensor]:
    """The map that enters the pools, and its gradient: a CLIP ResNet has two pools, and the gradient comes through both."""
    trunk: Any = encoder.image_encoder
    # The graph begins in front of the last stage: nothing before it is kept, and the map is in it whatever follows that stage.
    if not hasattr(trunk, "layer4"):
        return _last_map_of_whole_graph(encoder, images, camera, towards)
    begin = trunk.layer4.register_forward_pre_hook(lambda module, inputs: (inputs[0].detach().requires_grad_(),))
    try:
        with torch.enable_grad():
            tokens = trunk.forward_tokens(images, camera)
            score = _score(encoder, tokens.features, towards)
            (gradient,) = torch.autograd.grad(score, tokens.pooled)
    finally:
        begin.remove()
    return tokens.pooled.detach(), gradient


def _last_map_of_whole_graph(
    encoder: InferenceEncoder, images: Tensor, camera: Tensor | None, towards: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The same of a tower whose last stage has no name of its own: the graph begins at the picture."""
    with torch.enable_grad():
        tokens = encoder.image_encoder.forward_tokens(images.detach().requires_grad_(), camera)
        (gradient,) = torch.autograd.grad(_score(encoder, tokens.features, towards), tokens.pooled)
    return tokens.pooled.detach(), gradient


@torch.no_grad()
def _rollout(encoder: InferenceEncoder, images: Tensor, camera: Tensor | None) -> Tensor:
    with recorded_attention() as attentions:
        encoder.image_encoder(images, camera)
    return _of_class_token(rollout(attentions), encoder)


def _gradient(encoder: InferenceEncoder, images: Tensor, camera: Tensor | None, towards: Tensor | None) -> Tensor:
    with torch.enable_grad(), recorded_attention() as attentions:
        features = encoder.image_encoder(images.detach().requires_grad_(), camera)
        gradients = torch.autograd.grad(_score(encoder, features, towards), attentions)
    with torch.no_grad():
        return _of_class_token(gradient_relevance(attentions, gradients), encoder)


def _score(encoder: InferenceEncoder, features: ImageFeatures, towards: Tensor | None) -> Tensor:
    """Sum over the pictures of `similarity`: in evaluation mode none touches another's gradient."""
    feature = encoder.join(features)
    if encoder.options.flip:
        own, other = feature.chunk(2)
        feature = (own + other) / 2
    return similarity(feature, towards).sum()


def _blocks(encoder: ImageEncoder) -> Sequence[Any]:
    vit: Any = encoder
    return list(vit.transformer.resblocks)


def _of_class_token(relevance: Tensor, encoder: InferenceEncoder) -> Tensor:
    """(B, Q, L) -> what the class token has of each patch, (B, h, w)."""
    return relevance[:, 0, 1:].reshape(len(relevance), *encoder.image_encoder.config.grid)
