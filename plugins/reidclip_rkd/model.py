"""What is trained: the student with a BNNeck on its feature and, where the teacher's width is another one, a linear map to it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from reidclip.clip.heads import BNNeck
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.student import StudentEncoder
from reidclip.data.transforms import Normalisation
from reidclip.train.model_inputs import inference_options
from reidclip.train.reid_model import TrainedEncoder
from reidclip_rkd.settings import RkdDistill


class StudentOutputs(NamedTuple):
    """One forward. B batch, K identities, W the student's width, W' the teacher's."""

    pooled: Tensor  # (B, W) as it leaves the student
    tested: Tensor  # (B, W) what inference compares: that, or behind BatchNorm
    mapped: Tensor  # (B, W') the same in the teacher's space
    scores: Tensor  # (B, K) identity logits


class StudentModel(TrainedEncoder):
    """Student and heads; of the heads inference takes the BatchNorm, if any."""

    def __init__(self, student: StudentEncoder, identities: int, teacher_width: int, neck: str) -> None:
        super().__init__(student)
        self.head = BNNeck(student.pooled_width, identities)
        same = student.pooled_width == teacher_width
        self.to_teacher: nn.Module = nn.Identity() if same else nn.Linear(student.pooled_width, teacher_width)
        self.neck = neck

    def forward(self, images: Tensor) -> StudentOutputs:
        """(B, 3, H, W) normalised pictures, or (B, T, 3, H, W) clips -> features and identity logits; of all processes' pictures."""
        pooled = self.features(images).pooled
        behind, scores = self.head(pooled)
        tested = behind if self.neck == "after" else pooled
        return StudentOutputs(pooled, tested, self.to_teacher(tested), scores)

    def inference_encoder(self, normalisation: Normalisation, settings: RkdDistill) -> InferenceEncoder:
        """The student as it is tested; the map to the teacher's space is left behind."""
        options = replace(inference_options(normalisation, settings), neck=settings.neck)
        return InferenceEncoder(self.encoder, options, self.head.bottleneck)
