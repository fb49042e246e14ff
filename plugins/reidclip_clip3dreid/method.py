"""CLIP3DReID: a student learns identities, words and shape at once; one stage, one update, eq. (10)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.student import make_student
from reidclip.data.loader import Loader
from reidclip.data.transforms import Normalisation, finish
from reidclip.formulas.context import full_precision
from reidclip.formulas.losses import batch_hard_triplet, cross_entropy_label_smooth
from reidclip.interfaces import StageContext, TrainStage, Update
from reidclip.parallel.processes import rank, size
from reidclip.parallel.rows import batch_of, gather_rows
from reidclip.train.finetune_stage import FinetuneStage, stage_groups, stage_schedule
from reidclip.train.model_inputs import inference_options
from reidclip_clip3dreid.equations import eq07_distance, eq08_global, eq08_global_by_logits, eq09_shape, eq10_weights
from reidclip_clip3dreid.model import Clip3dModel, Clip3dOutputs
from reidclip_clip3dreid.settings import Clip3dDistill

_MESH_STREAM = 3  # keeps the order of mesh renders apart from that of the pictures


class Clip3dStage(FinetuneStage):
    """Pictures and mesh renders in each batch; L = CE + 0.3 OT + 0.5 L_global + 0.3 L_3D."""

    settings: Clip3dDistill

    def __init__(self, context: StageContext) -> None:
        s: Clip3dDistill = context.settings
        student = make_student(copy.deepcopy(context.clip.image_encoder), s.feature_width, s.head_hidden)
        self.model = Clip3dModel(student, context)
        super().__init__(context, s, self.model.to(context.device))
        self.meshes = context.meshes.dataset.split("train") if context.meshes is not None and s.meshes_per_batch else ()
        self._mesh_loader: Loader | None = None
        weights = eq10_weights(
            s.id_weight, s.lambda_ot, s.lambda_global, s.lambda_3d, s.triplet_weight, s.teacher_id_weight, s.vertex_scale
        )
        groups = stage_groups([(f"model.{name}", p) for name, p in self.model.named_parameters()], s)
        if self.model.guide is not None and self.model.guide.log_domain:
            self.notes = (f"lambda = {s.regularisation} is small: Sinkhorn iterates logarithms, as exp(-C / lambda) would underflow",)
        self.updates = [Update("main", groups, stage_schedule(s), self.losses, {name: weights[name] for name in self._named()})]

    def _named(self) -> list[str]:
        """Losses that are not switched off."""
        s = self.settings
        on = {
            "id": s.id_weight > 0,
            "triplet": s.triplet_weight > 0,
            "ot": s.lambda_ot > 0,
            "global": s.lambda_global > 0,
            "teacher": s.lambda_global > 0 and s.global_loss == "kl" and s.teacher_id_weight > 0,
            "shape": s.lambda_3d > 0,
            "mesh_ot": s.lambda_3d > 0 and s.mesh_words,
        }
        return [name for name, wanted in on.items() if wanted]

    # ------------------------------------------------------------------------------------------------------------ batches
    def plan_meshes(self, epoch: int, batches: int) -> list[list[int]]:
        """Mesh renders of each of an epoch's batches: all of them in a random order, then in another."""
        count = self.settings.meshes_per_batch
        generator = np.random.default_rng(np.random.SeedSequence([self.context.seed, epoch], spawn_key=(_MESH_STREAM,)))
        rounds = -(-batches * count // len(self.meshes))
        order = [int(i) for _ in range(rounds) for i in generator.permutation(len(self.meshes))]
        return [order[k * count : (k + 1) * count] for k in range(batches)]

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Batches of pictures, and beside each its mesh renders under names that begin with "own.mesh_"."""
        of_pictures = super().fetch(epoch, start)
        pictures = ({**batch, "own.index": batch["index"]} for batch in of_pictures)
        if not self.meshes:
            yield from pictures
            return
        if self._mesh_loader is None:
            context = self.context
            assert context.mesh_source is not None
            self._mesh_loader = Loader(
                context.mesh_source,
                self.meshes,
                transform=self._transform,
                seed=context.seed + 1,  # another geometry than that of the picture with the same number
                workers=context.workers,
                part=(rank(), size()),
                device=context.device,
            )
        plan = self.plan_meshes(epoch, len(self.plan(epoch)))
        for batch, meshes in zip(pictures, self._mesh_loader.epoch(epoch, plan[start:]), strict=True):
            yield {**batch, **{f"own.mesh_{name}": value for name, value in meshes.items()}}
        if epoch == self.epochs - 1:
            self._mesh_loader.close()

    # ------------------------------------------------------------------------------------------------------------- forward
    def forward(self, batch: Mapping[str, Tensor]) -> Clip3dOutputs:
        """Student's features of augmented pictures and mesh renders, and the transport from their places to their words."""
        s = self.settings
        meshes = mesh_choices = None
        if self.meshes:
            raw = {name.removeprefix("own.mesh_"): value for name, value in batch.items() if name.startswith("own.mesh_")}
            meshes = self.prepare(raw)["x"]
            if s.mesh_words:
                mesh_choices = self._of_table("choices", raw["pid"])
        images = self.prepare(batch)["x"]
        outputs: Clip3dOutputs = self.model(images, self._choices(batch), meshes, mesh_choices, rows=s.meshes_per_batch)
        return outputs

    def _choices(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Words that the teacher chose for this process's pictures, eq. (2): (b, 16)."""
        if self.settings.lambda_ot == 0:
            return None
        assert self.context.descriptions is not None
        choices = self.context.descriptions.choices
        return choices[batch["own.index"].to(choices.device)].to(self.context.device)

    def _of_table(self, name: str, pids: Tensor) -> Tensor:
        """Rows of the meshes' body table, on the device; their identities count its rows from 1."""
        assert self.context.meshes is not None
        rows = pids.cpu().numpy() - 1
        return torch.from_numpy(getattr(self.context.meshes.table, name)[rows]).to(self.context.device)

    # -------------------------------------------------------------------------------------------------------------- losses
    def losses(self, batch: Mapping[str, Tensor], outputs: Clip3dOutputs) -> dict[str, Tensor]:
        """The named losses of eq. (10), unweighted."""
        s = self.settings
        y, wanted = batch["pid"], self._named()
        found: dict[str, Tensor] = {}
        assert outputs.scores is not None
        if "id" in wanted:
            found["id"] = cross_entropy_label_smooth(outputs.scores, y, s.smoothing)
        if "triplet" in wanted:
            found["triplet"] = batch_hard_triplet(outputs.f, y, s.margin, normalise=True)
        if "ot" in wanted:
            assert outputs.transport is not None
            found["ot"] = eq07_distance(outputs.transport)
        if "global" in wanted:
            found |= self._global(batch, outputs)
        if "shape" in wanted:
            found["shape"] = self._shape(batch, outputs)
        if "mesh_ot" in wanted:
            assert outputs.mesh_transport is not None
            found["mesh_ot"] = eq07_distance(outputs.mesh_transport)
        return found

    def _global(self, batch: Mapping[str, Tensor], outputs: Clip3dOutputs) -> dict[str, Tensor]:
        """L_global by features (paper), or by logits of a teacher's head that learns beside (program)."""
        s = self.settings
        g = self._teacher_feature(batch)
        if self.model.to_student is not None:
            return {"global": eq08_global(self.model.to_student(g), outputs.f)}
        assert self.model.teacher_head is not None and outputs.scores is not None
        f, logits = self.model.teacher_head(g)
        found = {"global": eq08_global_by_logits(logits, outputs.scores, s.temperature)}
        if s.teacher_id_weight > 0:
            y = batch["pid"]
            found["teacher"] = cross_entropy_label_smooth(logits, y, s.smoothing) + batch_hard_triplet(f, y, s.margin, normalise=True)
        return found

    def _teacher_feature(self, batch: Mapping[str, Tensor]) -> Tensor:
        """g of all processes' pictures: stored, or of the augmented picture: (B, D)."""
        clip = self.context.teacher_clip
        if clip is None:
            assert self.context.descriptions is not None
            features = self.context.descriptions.features
            return features[batch["index"].to(features.device)].to(self.context.device)
        images = finish(batch, Normalisation(clip.mean, clip.std), erase_fill=self._transform.erasing.fill)["x"]
        frames = images.reshape(-1, *images.shape[-3:])
        if tuple(frames.shape[-2:]) != tuple(clip.image_size):
            frames = F.interpolate(frames, clip.image_size, mode="bilinear", antialias=True)
        with torch.no_grad():
            return gather_rows(clip.image_encoder(frames.reshape(*images.shape[:-2], *frames.shape[-2:])).projected)

    def _shape(self, batch: Mapping[str, Tensor], outputs: Clip3dOutputs) -> Tensor:
        """L_3D: vertices of the predicted against those of the true body, in the canonical pose."""
        body = self.context.body
        assert body is not None and outputs.mesh_shape is not None
        with batch_of(self.settings.meshes_per_batch):
            shape = gather_rows(self._of_table("shape", batch["own.mesh_pid"]))
        with full_precision(self.context.device.type):
            with torch.no_grad():
                truth = body.vertices(shape)
            return eq09_shape(body.vertices(outputs.mesh_shape.float()), truth)


def distill_stages(context: StageContext) -> Sequence[TrainStage]:
    """One stage: all losses at once."""
    return [Clip3dStage(context)]


def encoder(context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
    """Inference uses the student alone; its feature is f_id, compared by cosine."""
    stage = stages[-1]
    assert isinstance(stage, Clip3dStage)
    return InferenceEncoder(stage.model.encoder, inference_options(stage.normalisation, context.settings))


def extras(context: StageContext, stages: Sequence[TrainStage], folder: Path) -> None:
    """Psi and the words for transport maps, phi for shapes: what analysis reads, and inference does not."""
    stage = stages[-1]
    assert isinstance(stage, Clip3dStage)
    if stage.model.guide is not None:
        stage.model.guide.save(folder)
    if stage.model.shape is not None:
        stage.model.shape.save(folder)
