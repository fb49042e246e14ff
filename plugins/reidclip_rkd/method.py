"""Distilling a fine-tuned encoder: the student learns identities, and the teacher's features and relations of the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.student import make_student
from reidclip.errors import UserError
from reidclip.interfaces import StageContext, TrainStage, Update
from reidclip.train.finetune_stage import FinetuneStage, stage_groups, stage_schedule
from reidclip_rkd.equations import (
    eq01_identity,
    eq02_triplet,
    eq03_feature,
    eq06_distance,
    eq08_angle,
    eq09_similarity,
    eq10_weights,
)
from reidclip_rkd.model import StudentModel, StudentOutputs
from reidclip_rkd.settings import RkdDistill
from reidclip_rkd.teacher import Teacher, larger, normalised


class Outputs(NamedTuple):
    """One forward of both."""

    student: StudentOutputs
    teacher: Tensor | None  # (B, W') features; None where no loss asks for them


class RkdStage(FinetuneStage):
    """L, eq. (10). The teacher lies outside ``module``: it is not trained, and a resumed run reads it from its checkpoint."""

    settings: RkdDistill

    def __init__(self, context: StageContext) -> None:
        s: RkdDistill = context.settings
        self.teacher = Teacher(_teacher_of(context))
        width = self.teacher.encoder.width
        student = make_student(context.clip.image_encoder, s.feature_width or width, s.head_hidden)
        model = StudentModel(student, len(context.labels.pids), width, s.neck).to(context.device)
        model = model.to(memory_format=torch.channels_last)  # convolutions run faster; same results
        super().__init__(context, s, model)
        self.model = model
        self._fetch_larger(s)
        self.teacher = replace(self.teacher, erase_fill=self._transform.erasing.fill)
        parts = s.id_weight, s.triplet_weight, s.feature_weight, s.distance_weight, s.angle_weight, s.similarity_weight
        self.weights = {name: weight for name, weight in eq10_weights(*parts).items() if weight}
        if not self.weights:
            raise UserError("Every weight is 0: there is no loss to train by.", "Give one of them, such as --set feature_weight=1.")
        groups = stage_groups(model.named_parameters(), s)
        self.updates = [Update("main", groups, stage_schedule(s), self.losses, self.weights)]

    def _fetch_larger(self, s: RkdDistill) -> None:
        """Pictures are cut at a size that neither of the two has to enlarge; paddings are in pixels of the student's."""
        if s.asks_teacher:
            height, width = larger((s.height, s.width), self.teacher.size)
            self._transform = replace(self._transform, height=height, width=width, pad=round(s.pad * height / s.height))

    def forward(self, batch: Mapping[str, Tensor]) -> Outputs:
        """Features of the same augmented pictures by both, each at its own size."""
        s = self.settings
        pictures = normalised(batch, self.normalisation, (s.height, s.width), self._transform.erasing.fill)
        return Outputs(self.model(pictures), self.teacher.features(batch) if s.asks_teacher else None)

    def losses(self, batch: Mapping[str, Tensor], outputs: Outputs) -> dict[str, Tensor]:
        """Every loss that has a weight, eq. (1) to (9); relations are those that ranking sees."""
        return {name: self._loss(name, batch["pid"], *outputs) for name in self.weights}

    def _loss(self, name: str, y: Tensor, student: StudentOutputs, t: Tensor | None) -> Tensor:
        s = self.settings
        if name == "id":
            return eq01_identity(student.scores, y, s.smoothing)
        if name == "triplet":
            return eq02_triplet(student.pooled, y, s.margin, s.triplet_normalise)
        assert t is not None
        if name == "feature":
            return eq03_feature(student.mapped, t)
        ranked = F.normalize(student.tested.float(), dim=1) if s.normalise_features else student.tested
        relations: dict[str, Callable[[], Tensor]] = {
            "distance": lambda: eq06_distance(ranked, t),
            "angle": lambda: eq08_angle(ranked, t),
            "similarity": lambda: eq09_similarity(ranked, t, s.temperature),
        }
        return relations[name]()


def _teacher_of(context: StageContext) -> InferenceEncoder:
    if not isinstance(context.teacher, InferenceEncoder):
        raise UserError("There is no fine-tuned checkpoint to distil.", "Name one: --teacher ccaf-prcc@v3.")
    return context.teacher


def distill_stages(context: StageContext) -> Sequence[TrainStage]:
    """One stage: all losses from the first step on."""
    return [RkdStage(context)]


def encoder(context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
    """Inference uses the student, and its BatchNorm where the settings say so."""
    stage = stages[-1]
    assert isinstance(stage, RkdStage)
    return stage.model.inference_encoder(stage.normalisation, stage.settings)
