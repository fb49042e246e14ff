"""Every hyper-parameter of CLIP3DReID beyond the shared ones. Defaults: the paper's where it gives them, else those of its program."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reidclip.bodies.phrases import TEMPLATE
from reidclip.interfaces import DistillNeeds
from reidclip.train.settings import DistillSettings


class Clip3dDistill(DistillSettings):
    """A student learns identities, which words fit a body (OT), the teacher's image feature, and the body's shape; eq. (10)."""

    epochs: int = Field(100, ge=0, description="Passes of the sampler over the training pictures (program: 100).")
    sampler: Literal["pk", "chunk"] = Field(
        "chunk", description="Batches: 'pk' of P distinct identities (CLIP-ReID); 'chunk' of P chunks of one identity each (program)."
    )
    identities: int = Field(4, gt=1, description="P, identities (or chunks) per batch (program: 4).")
    images_per_identity: int = Field(8, gt=1, description="K, pictures per identity (program: 8).")
    lr: float = Field(3.5e-4, gt=0, description="Adam's rate, which the schedule scales.")
    weight_decay: float = Field(0.0, ge=0, description="L2 decay inside Adam; the program names 5e-4 and does not hand it to Adam.")
    bias_lr_factor: float = Field(1.0, gt=0, description="Parameters whose name contains 'bias' train at lr times this.")
    schedule: Literal["multistep", "cosine", "step"] = Field(
        "step", description="How the rate falls: in even steps (program), to a tenth at milestones, or along a cosine to 0."
    )
    warmup_epochs: int = Field(0, ge=0, description="Epochs in which the rate rises linearly from warmup_factor times lr.")
    resize: Literal["bilinear", "bicubic"] = Field("bilinear", description="Training resize filter; that of tests is test_resize.")
    crop: Literal["pad", "enlarge"] = Field(
        "enlarge",
        description="Random crop: 'pad' pads with black first (CLIP-ReID); 'enlarge' enlarges to 1.125 times both sides (program).",
    )
    erasing: Literal["noise", "colour"] = Field(
        "colour",
        description="What fills the erased box: 'noise' (CLIP-ReID), or one 'colour' in boxes of up to 0.4 of the picture (program).",
    )

    feature_width: int = Field(2048, gt=0, description="Width of f_id, the student's feature (program: 512).")
    head_hidden: int | None = Field(None, ge=0, description="Hidden layer of f_id's MLP. Default: the map's channels; 0: none (program).")
    bnneck: bool = Field(False, description="Classify f_id behind a BatchNorm; the paper and its program classify it as it is.")
    id_weight: float = Field(1.0, ge=0, description="Weight of the identity loss on f_id (paper: 1; the program's file: 0).")
    smoothing: float = Field(0.0, ge=0, lt=1, description="Label smoothing of the identity loss (program: 0.1).")
    triplet_weight: float = Field(0.0, ge=0, description="Weight of the triplet loss on f_id (paper: none; program: that of id_weight).")
    margin: float = Field(0.3, ge=0, description="Triplet margin, on L2-normalised features.")

    teacher_height: int | None = Field(None, gt=0, description="Height in pixels at which the teacher sees pictures. Default: height.")
    teacher_width: int | None = Field(None, gt=0, description="Width in pixels at which the teacher sees pictures. Default: width.")
    lambda_ot: float = Field(0.3, ge=0, description="Weight of the optimal transport between picture places and words, eqs. (3)-(7).")
    template: str = Field(TEMPLATE, description="Sentence about a body; {phrase} stands for a phrase with its verb.")
    words: Literal["teacher", "bodies"] = Field(
        "teacher", description="Who chooses the words of a picture: the teacher, or the people's true bodies, which rendered data knows."
    )
    regularisation: float = Field(1.0, gt=0, description="lambda of Sinkhorn's kernel exp(-C / lambda) (program: 0.1).")
    sinkhorn_iterations: int = Field(1, gt=0, description="Sinkhorn iterations at most (paper: 1; program: 100).")
    sinkhorn_tolerance: float | None = Field(
        None, gt=0, description="Stop when the mean change of the row scaling is under it (program: 1e-2). Default: all iterations."
    )
    plan_gradient: bool = Field(True, description="Gradient through the transport plan (paper); the program cuts it.")
    word_hidden: int | None = Field(None, ge=0, description="Hidden layer of Psi, text to places. Default: channels of the map; 0: linear.")

    lambda_global: float = Field(0.5, ge=0, description="Weight of L_global, eq. (8) (program: 1).")
    global_loss: Literal["mse", "kl"] = Field(
        "mse", description="L_global: squared distance of Phi(g) and f_id (paper), or KL between logits of teacher and student (program)."
    )
    temperature: float = Field(2.0, gt=0, description="Temperature of both logits (kl).")
    teacher_id_weight: float = Field(1.0, ge=0, description="Weight of identity and triplet loss of the teacher's own classifier (kl).")
    teacher_view: Literal["stored", "augmented"] = Field(
        "stored", description="g of the picture as it is, computed once (paper), or of the augmented one, in every step (program)."
    )

    lambda_3d: float = Field(0.3, ge=0, description="Weight of L_3D, eq. (9): squared distance of vertices, and OT on mesh renders.")
    vertex_scale: float = Field(
        1.0,
        gt=0,
        description="Unit of the squared distance of vertices, mean over them: 1 square metres (paper), 100 square decimetres.",
    )
    mesh_images: int | None = Field(None, gt=0, description="Mesh renders per batch. Default: as many as pictures.")
    mesh_words: bool = Field(True, description="L_3D's second term: optimal transport on mesh renders, with their exact words.")

    @property
    def meshes_per_batch(self) -> int:
        """Mesh renders that each batch holds."""
        return (self.mesh_images or self.identities * self.images_per_identity) if self.lambda_3d > 0 else 0

    @property
    def compares_words(self) -> bool:
        """Whether there is optimal transport, on pictures or on mesh renders."""
        return self.lambda_ot > 0 or (self.lambda_3d > 0 and self.mesh_words)

    @model_validator(mode="after")
    def _something_to_learn(self) -> Clip3dDistill:
        if "{phrase}" not in self.template:
            raise ValueError(f"template: {self.template!r} has no {{phrase}}")
        if not any((self.id_weight, self.triplet_weight, self.lambda_ot, self.lambda_global)):
            raise ValueError("all losses of pictures are switched off: id_weight, triplet_weight, lambda_ot and lambda_global are 0")
        return self


def needs(settings: Clip3dDistill) -> DistillNeeds:
    """What is read under these settings."""
    live = settings.lambda_global > 0 and settings.teacher_view == "augmented"
    truth = settings.lambda_ot > 0 and settings.words == "bodies"
    described = settings.compares_words or (settings.lambda_global > 0 and not live)
    return DistillNeeds("clip", descriptions=described, live=live, true_words=truth, meshes=settings.meshes_per_batch > 0)


def without_effect(stage: str, settings: Clip3dDistill) -> dict[str, str]:
    """Settings of a part that is switched off, and what switches it off."""
    idle: dict[str, str] = {}
    by_logits = settings.lambda_global > 0 and settings.global_loss == "kl"
    if not settings.compares_words:
        of_ot = ("regularisation", "sinkhorn_iterations", "sinkhorn_tolerance", "plan_gradient", "word_hidden")
        idle |= dict.fromkeys(of_ot, "lambda_ot = 0")
    if settings.lambda_ot == 0:
        idle["words"] = "lambda_ot = 0"
    if settings.lambda_3d == 0:
        idle |= dict.fromkeys(("mesh_images", "mesh_words", "vertex_scale"), "lambda_3d = 0")
    if settings.lambda_global == 0:
        idle |= dict.fromkeys(("global_loss", "temperature", "teacher_id_weight", "teacher_view"), "lambda_global = 0")
    elif not by_logits:
        idle |= dict.fromkeys(("temperature", "teacher_id_weight"), "global_loss = mse")
    if not needs(settings).descriptions:
        asked = () if needs(settings).live else ("teacher_height", "teacher_width")
        idle |= dict.fromkeys(("template", *asked), "lambda_ot = 0")
    if settings.triplet_weight == 0 and not (by_logits and settings.teacher_id_weight > 0):
        idle["margin"] = "triplet_weight = 0"
    if settings.id_weight == 0 and not by_logits:
        idle |= dict.fromkeys(("bnneck", "smoothing"), "id_weight = 0")
    return idle
