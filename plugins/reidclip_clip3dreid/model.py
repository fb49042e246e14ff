"""What CLIP3DReID trains: the student, and the heads that only the training needs: classifier, Psi, Phi and phi."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reidclip.bodies.shape_head import ShapeHead
from reidclip.clip.heads import CLASSIFIER_STD
from reidclip.clip.student import StudentEncoder
from reidclip.interfaces import StageContext
from reidclip.parallel.rows import batch_of, gather_rows
from reidclip.train.reid_model import TrainedEncoder
from reidclip.train.transport_guide import TransportGuide
from reidclip_clip3dreid.settings import Clip3dDistill

_SCALE_STD = 0.02


class Clip3dOutputs(NamedTuple):
    """One forward. B pictures, M mesh renders, W width of f_id; of all processes' rows. None where a loss is switched off."""

    f: Tensor  # (B, W) f_id
    scores: Tensor | None  # (B, K) identity logits
    transport: Tensor | None  # (B,) <T, C> of every picture
    mesh_shape: Tensor | None  # (M, S) shape parameters, phi(f_id) of mesh renders
    mesh_transport: Tensor | None  # (M,)


class Clip3dModel(TrainedEncoder):
    """Student and heads.

    Attributes:
        classifier: of identities, on f_id, behind ``bottleneck`` where there is one.
        guide: Psi and the words, eqs. (3)-(7).
        to_student: Phi of eq. (8), from the teacher's feature to f_id.
        teacher_head: the program's: linear, BatchNorm and a classifier on the teacher's feature.
        shape: phi of eq. (9).
    """

    encoder: StudentEncoder
    guide: TransportGuide | None
    to_student: nn.Module | None
    teacher_head: TeacherHead | None
    shape: ShapeHead | None

    def __init__(self, student: StudentEncoder, context: StageContext) -> None:
        super().__init__(student)
        s: Clip3dDistill = context.settings
        width, identities = student.pooled_width, len(context.labels.pids)
        self.bottleneck = bottleneck(width) if s.bnneck else nn.Identity()
        self.classifier = classifier(width, identities)
        self.guide = _guide(context, student) if s.compares_words else None
        self.to_student = self.teacher_head = self.shape = None
        if s.lambda_global > 0:
            given = _teacher_width(context)
            if s.global_loss == "mse":
                self.to_student = nn.Sequential(nn.Linear(given, width), nn.ReLU(), nn.Linear(width, width))
            else:
                self.teacher_head = TeacherHead(given, width, identities)
        if s.lambda_3d > 0:
            assert context.meshes is not None
            table, rows = context.meshes.table, [sample.pid - 1 for sample in context.meshes.dataset.split("train")]
            shapes = torch.from_numpy(table.shape[sorted(set(rows))])
            self.shape = ShapeHead.of_bodies(width, shapes, body=table.body, version=table.version)

    def forward(
        self, images: Tensor, choices: Tensor | None = None, meshes: Tensor | None = None, mesh_choices: Tensor | None = None, rows: int = 0
    ) -> Clip3dOutputs:
        """Encode pictures and mesh renders together, as one batch.

        Args:
            images: (b, 3, H, W) normalised pictures of this process, or (b, T, 3, H, W) clips.
            choices: (b, 16) words of each; None without transport.
            meshes: (m, 3, H, W) mesh renders of this process.
            mesh_choices: (m, 16) words of each; None where they take no part in the transport.
            rows: M, mesh renders of all processes.
        """
        f, places, mesh_f, mesh_places = self._encoded(images, meshes)
        transport = None if self.guide is None or choices is None else gather_rows(self.guide(places, choices).cost)
        f = gather_rows(f)
        mesh_shape = mesh_transport = None
        with batch_of(rows):  # every process has its part of the mesh renders too
            if mesh_f is not None and self.shape is not None:
                mesh_shape = self.shape(gather_rows(mesh_f))  # its BatchNorm sees all of them
            if mesh_places is not None and mesh_choices is not None and self.guide is not None:
                mesh_transport = gather_rows(self.guide(mesh_places, mesh_choices).cost)
        return Clip3dOutputs(f, self.classifier(self.bottleneck(f)), transport, mesh_shape, mesh_transport)

    def _encoded(self, images: Tensor, meshes: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """f_id and map of pictures, and of mesh renders, from one pass: each batch holds both, so BatchNorm sees both."""
        count = len(images)
        if meshes is not None and images.dim() == 5:  # beside clips a mesh render is a clip that stands still
            meshes = meshes.unsqueeze(1).expand(-1, images.shape[1], -1, -1, -1)
        both = images if meshes is None else torch.cat([images, meshes])
        f, places = self._in_pieces(both)
        if meshes is None:
            return f, places, None, None
        return f[:count], places[:count], f[count:], places[count:]

    def _in_pieces(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.chunks == 1 or not torch.is_grad_enabled():
            return self._encode(images)
        parts = [checkpoint(self._encode, piece, use_reentrant=False) for piece in images.chunk(self.chunks)]
        f, places = (torch.cat(rows) for rows in zip(*parts, strict=True))
        return f, places

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, places = self.encoder.forward_places(images)
        return features.pooled, places


class TeacherHead(nn.Module):
    """The program's head on the teacher's image feature: linear, BatchNorm, classifier; it is trained beside the student."""

    def __init__(self, given: int, width: int, identities: int) -> None:
        super().__init__()
        self.project = nn.Linear(given, width)
        self.bottleneck = bottleneck(width)
        self.classifier = classifier(width, identities)

    def forward(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) teacher features -> (B, W) feature behind BatchNorm, (B, K) logits."""
        f = self.bottleneck(self.project(g))
        return f, self.classifier(f)


def bottleneck(width: int) -> nn.BatchNorm1d:
    """BatchNorm with trained shift, scales N(1, 0.02^2), as the program starts it."""
    norm = nn.BatchNorm1d(width)
    nn.init.normal_(norm.weight, 1.0, _SCALE_STD)
    return norm


def classifier(width: int, identities: int) -> nn.Linear:
    """Linear classifier with bias, weights N(0, 0.001^2), as the program starts it."""
    layer = nn.Linear(width, identities)
    nn.init.normal_(layer.weight, std=CLASSIFIER_STD)
    nn.init.zeros_(layer.bias)
    return layer


def _guide(context: StageContext, student: StudentEncoder) -> TransportGuide:
    s: Clip3dDistill = context.settings
    assert context.descriptions is not None
    return TransportGuide(
        context.descriptions.texts,
        student.places_width,
        hidden=s.word_hidden,
        regularisation=s.regularisation,
        iterations=s.sinkhorn_iterations,
        tolerance=s.sinkhorn_tolerance,
        plan_gradient=s.plan_gradient,
        teacher=context.descriptions.teacher,
        template=s.template,
    )


def _teacher_width(context: StageContext) -> int:
    if context.teacher_clip is not None:
        return context.teacher_clip.joint_width
    assert context.descriptions is not None
    return context.descriptions.features.shape[1]
