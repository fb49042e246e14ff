"""Settings that every training command shares. A method's own settings inherit these and add the paper's.

Defaults are CLIP-ReID's published values for ViT-B/16; recipes change them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from reidclip.settings import Settings


def _soft(value: Any) -> Any:
    return None if value == "soft" else value


Margin = Annotated[float | None, BeforeValidator(_soft)]
"""Triplet margin; None is the soft margin, which TOML and --set write as "soft"."""
Share = Annotated[float, Field(ge=0, le=1)]
Turn = Annotated[float, Field(ge=0, le=0.5)]


class PictureSettings(Settings):
    """Which pictures, and how they enter the image encoder. Every subclass says which encoder that is, in ``network``."""

    height: int = Field(256, gt=0, description="Input height in pixels.")
    width: int = Field(128, gt=0, description="Input width in pixels.")
    stride: int | None = Field(
        None, gt=0, description="Patch stride of a ViT; smaller than the patch size overlaps. Default: the patch size."
    )
    normalisation: Literal["model", "half", "imagenet", "clip", "instance"] = Field(
        "model",
        description="Mean and std: the model's own, 0.5/0.5 (CLIP-ReID ViT), ImageNet (CLIP-ReID RN50), OpenAI's, or 'instance': each "
        "picture's own (CLIP-FGDI's program).",
    )
    test_resize: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="Resize filter of test pictures and of those that prompts are learned from (CLIP-FGDI's program: bicubic)."
    )
    similarity: Literal["model", "dot", "cosine"] = Field(
        "model", description="s(v, t): dot product (published CLIP-ReID), cosine times exp(logit_scale), or what the model card asks for."
    )
    decode: Literal["exact", "fast"] = Field(
        "exact", description="'fast' halves large JPEGs while decoding them: quicker, pixels a few grey levels off."
    )
    blur_faces: bool = Field(
        False, description="Blur every face, by the label maps of a parsing (CLIP3DReID's face-blurred copies of data sets)."
    )
    sie_camera: bool = Field(False, description="Add a learned camera embedding to the class token (ViT).")
    sie_coefficient: float = Field(1.0, description="Factor on the camera embedding.")
    train_splits: tuple[str, ...] = Field(
        ("train",),
        min_length=1,
        description="Splits (or stored divisions: split-9) that are trained on, joined; CLIP-ReID joins train and val of MSMT17. "
        "'all' takes query and gallery too.",
    )
    distractors: Literal["drop", "identity"] = Field(
        "drop", description="Pictures of nobody in test splits that are trained on: left out, or one more identity (CLIP-FGDI's code)."
    )

    @property
    def network(self) -> str:
        """The spec of the image encoder (`reidclip.clip.sources`)."""
        raise NotImplementedError


class ModelSettings(PictureSettings):
    """Those of a command that works on a CLIP: which one."""

    clip: str = Field(
        "reidclip-tiny", description="CLIP: reidclip-tiny, ARCH:TAG (ViT-B-16:openai), a weights file, or resnet50:FILE (no text)."
    )

    @property
    def network(self) -> str:
        """See `PictureSettings`."""
        return self.clip


class PromptLearnSettings(ModelSettings):
    """Stage 1 of CLIP-ReID: one learned context per identity, both encoders frozen."""

    epochs: int = Field(120, ge=0, description="Passes over the training pictures' features.")
    batch_size: int = Field(64, gt=0, description="Pictures per batch, shuffled.")
    lr: float = Field(3.5e-4, gt=0, description="Adam's rate at the top of the schedule.")
    weight_decay: float = Field(1e-4, ge=0, description="L2 decay inside Adam (not decoupled).")
    warmup_epochs: int = Field(
        5, ge=0, description="Epochs in which the rate rises from warmup_lr; the cosine does not restart after them."
    )
    warmup_lr: float = Field(1e-5, ge=0, description="Rate of the first epoch.")
    min_lr: float = Field(1e-6, ge=0, description="Rate at the end of the cosine.")
    tokens: int = Field(4, gt=0, description="M, learned tokens per prompt.")
    template: str = Field("A photo of a {X} person.", description="Identity prompt; {X} stands for the M learned tokens.")


class TrainingSettings(PictureSettings):
    """What training an image encoder has in common: batches, augmentation, Adam, schedule."""

    epochs: int = Field(60, ge=0, description="Passes of the sampler over the training pictures.")
    sampler: Literal["pk", "chunk"] = Field(
        "pk", description="Batches: 'pk' of P distinct identities (CLIP-ReID); 'chunk' of P chunks of one identity each (CAL)."
    )
    identities: int = Field(16, gt=1, description="P, identities (or chunks) per batch.")
    images_per_identity: int = Field(4, gt=1, description="K, pictures per identity.")
    balance_domains: bool = Field(
        False, description="Of several data sets, each batch takes as many identities of each (published: all sources in one pool)."
    )
    lr: float = Field(5e-6, gt=0, description="Adam's rate, which the schedule scales.")
    weight_decay: float = Field(1e-4, ge=0, description="L2 decay inside Adam (not decoupled), on every parameter.")
    bias_lr_factor: float = Field(2.0, gt=0, description="Parameters whose name contains 'bias' train at lr times this.")
    head_lr_factor: float = Field(1.0, gt=0, description="The classifiers and BNNecks train at lr times this (published: 1).")
    schedule: Literal["multistep", "cosine", "step"] = Field(
        "multistep", description="How the rate falls: to a tenth at milestones, along a cosine to 0, or in even steps."
    )
    decay: float = Field(0.85, gt=0, le=1, description="Factor on the rate every decay_epochs (step).")
    decay_epochs: int = Field(10, gt=0, description="Epochs between two steps (step).")
    milestones: tuple[int, ...] = Field((30, 50), description="Epochs at which the rate drops to a tenth (multistep).")
    first_index: int = Field(
        1, ge=0, description="Number of the first epoch in the multi-step schedule: 1 in CLIP-ReID (stepped as an epoch begins), 0 in CAL."
    )
    warmup_epochs: int = Field(10, ge=0, description="Epochs in which the rate rises linearly from warmup_factor times lr.")
    warmup_factor: float = Field(0.1, ge=0, description="Share of lr at which the warm-up begins.")
    resize: Literal["bilinear", "bicubic"] = Field("bicubic", description="Training resize filter; that of tests is test_resize.")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of mirroring a training picture.")
    crop: Literal["pad", "enlarge"] = Field(
        "pad", description="Random crop: 'pad' pads with black first (CLIP-ReID); 'enlarge' enlarges to 1.125 times both sides first (CAL)."
    )
    pad: int = Field(10, ge=0, description="Zero padding before the random crop, in pixels (crop 'pad'; 0 crops nothing).")
    enlarge: float = Field(0.5, ge=0, le=1, description="Probability of enlarging and cropping a training picture (crop 'enlarge').")
    erase: float = Field(0.5, ge=0, le=1, description="Probability of random erasing.")
    erasing: Literal["noise", "colour"] = Field(
        "noise", description="What fills the erased box: 'noise' (CLIP-ReID), or one 'colour' in boxes of up to 0.4 of the picture (CAL)."
    )
    grey: float = Field(0.0, ge=0, le=1, description="Probability of turning a training picture grey (CLIP-FGDI's program: 0.1).")
    jitter: float = Field(0.0, ge=0, le=1, description="Probability of colour jitter on a training picture (CLIP-FGDI's program: 0.1).")
    jitter_strength: tuple[Share, Share, Share, Turn] = Field(
        (0.15, 0.1, 0.05, 0.05),
        description="Reach of the jitter: brightness, contrast, saturation (factors in 1 - s .. 1 + s), hue (share of the circle).",
    )
    augmix: float = Field(0.0, ge=0, le=1, description="Probability of AugMix on a training picture (CLIP-FGDI's program: 0.6).")
    augmix_severity: float = Field(3.0, ge=1, le=10, description="How far AugMix's operations go: 1 (hardly) to 10.")
    clip_frames: int = Field(8, gt=0, description="Frames of the clip that is drawn of a tracklet (video data alone).")
    clip_stride: int = Field(4, gt=0, description="Frames from one to the next in a clip, where the tracklet is long enough.")
    piece_frames: int = Field(
        64, ge=0, description="Tracklets are cut into training samples of so many frames (CAL's dense sampling); 0 takes them whole."
    )
    normalise_features: bool = Field(
        True, description="L2-normalise test features: ranked by cosine, else by Euclidean distance as they are (CLIP-FGDI's program)."
    )


class FinetuneSettings(ModelSettings, TrainingSettings):
    """What fine-tuning the image encoder of a CLIP has in common."""


class DistillSettings(TrainingSettings):
    """What distilling has in common: a student, that is trained, and a teacher, that is not."""

    student: str = Field(
        "resnet50:imagenet",
        description="The network that is trained: resnet50:imagenet, resnet50:FILE, timm:NAME, timm:NAME:FILE, or random:timm:NAME.",
    )
    teacher: str = Field(
        "reidclip-tiny",
        description="A CLIP (reidclip-tiny, ARCH:TAG, a weights file), or a checkpoint (ccaf-prcc@v3) for methods that take one.",
    )

    @property
    def network(self) -> str:
        """The student."""
        return self.student


class IdLossSettings(FinetuneSettings):
    """Identity supervision of one image stream: cross-entropy on two classifiers, triplet on up to three features."""

    id_weight: float = Field(0.25, ge=0, description="Weight of the identity loss on each of the two classifiers (code: 0.25 ViT, 1 RN50).")
    triplet_weight: float = Field(1.0, ge=0, description="Weight of the triplet loss on each of the features.")
    margin: Margin = Field(0.3, description="Triplet margin; 'soft' means the soft margin, ln(1 + exp(d_p - d_n)).")
    triplet_features: Literal["all", "pooled+projected", "projected"] = Field(
        "all", description="Features that enter the triplet loss (published: last, pooled and projected)."
    )
    triplet_normalise: bool = Field(False, description="L2-normalise features before the triplet distance (published: no).")
    smoothing: float = Field(0.1, ge=0, lt=1, description="Label smoothing of every cross-entropy.")
