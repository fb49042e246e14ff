"""What a distillation reads, small: a student, a teacher, its words, and drawn people who pass for rendered bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reidclip.bodies.mesh_set import BodyTable, MeshSet
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.load import ClipModel, load_clip
from reidclip.data.loader import ImageSource
from reidclip.formulas.phrases import choose_phrases
from reidclip.interfaces import Distiller
from reidclip.records import Dataset, Sample
from reidclip.settings import Settings
from reidclip.train.descriptions import Descriptions
from tests.fakes import SIZE, tiny_clip

STUDENT = "random:timm:test_vit"  # LayerNorm, so that a batch in parts is the batch
SHAPES, VERTICES = 3, 5


class FakeBody:
    """Five vertices that three parameters move."""

    name, version, shapes, joints = "fake", "f" * 64, SHAPES, ("root",)
    faces = np.array([[0, 1, 2], [2, 3, 4]])

    def __init__(self) -> None:
        generator = np.random.default_rng(5)
        self._mean = torch.from_numpy(generator.standard_normal((VERTICES, 3)).astype(np.float32))
        self._directions = torch.from_numpy(generator.standard_normal((SHAPES, VERTICES * 3)).astype(np.float32))

    def vertices(self, shape: Tensor) -> Tensor:
        moved = (shape @ self._directions.to(shape)).reshape(-1, VERTICES, 3)
        return self._mean.to(shape) + moved


def tiny_student() -> ClipModel:
    return load_clip(STUDENT, image_size=SIZE)


def descriptions(count: int, width: int = 16) -> Descriptions:
    generator = torch.Generator().manual_seed(9)
    features, texts = torch.randn(count, width, generator=generator), torch.randn(16, 2, width, generator=generator)
    scores, choices, _ = choose_phrases(features, texts)
    return Descriptions(features, texts, scores, choices, ("tiny", "0" * 64))


def meshes(dataset: Dataset) -> MeshSet:
    """The training pictures of a data set, each person with a body of their own."""
    pids = sorted({s.pid for s in dataset.split("train")})
    samples = tuple(replace(s, pid=pids.index(s.pid) + 1) for s in dataset.split("train"))
    generator = np.random.default_rng(4)
    table = BodyTable(
        FakeBody.name,
        FakeBody.version,
        generator.standard_normal((len(pids), SHAPES)).astype(np.float32),
        generator.integers(0, 2, (len(pids), 16)),
        {},
        {},
        {s.path: s.pid - 1 for s in samples},
    )
    return MeshSet(replace(dataset, samples=samples), table)


def distill_inputs(method: Distiller, settings: Settings, dataset: Dataset, train: tuple[Sample, ...]) -> Mapping[str, Any]:
    """Fields of `reidclip.interfaces.StageContext`: what the method asks for under these settings, and nothing else."""
    needs, found = method.distill_needs(settings), {"clip": tiny_student()}
    if needs.teacher == "checkpoint":
        found["teacher"] = InferenceEncoder(tiny_clip(7).image_encoder).eval().requires_grad_(False)
    if needs.live:
        clip = tiny_clip(7)
        clip.image_encoder.eval().requires_grad_(False)
        found["teacher_clip"] = clip
    if needs.descriptions:
        found["descriptions"] = descriptions(len(train))
    if needs.meshes:
        rendered = meshes(dataset)
        found |= {"meshes": rendered, "mesh_source": ImageSource.of(dataset, rendered.dataset.split("train")), "body": FakeBody()}
    return found
