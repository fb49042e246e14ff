"""Fine-tuning on pictures: batches, augmentation and optimiser groups that methods share. A method adds forward and losses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from reidclip.data.loader import Loader
from reidclip.data.samplers import pk_batches
from reidclip.data.transforms import Derived, Transform, finish
from reidclip.interfaces import ParamGroup, StageContext, Update
from reidclip.parallel.processes import rank, size
from reidclip.train.model_inputs import normalisation_of
from reidclip.train.optim import param_groups
from reidclip.train.schedule import Schedule, constant, cosine, warmup_multistep
from reidclip.train.settings import FinetuneSettings


class FinetuneStage:
    """P x K batches of augmented pictures.

    A subclass sets ``module`` and ``updates`` and writes `forward`. Batches reach it normalised: ``x``, and ``x_s``, ``x_c`` when
    ``derived`` asks for them, with ``pid``, ``clothes`` and ``camid``.
    """

    def __init__(self, context: StageContext, settings: FinetuneSettings, module: nn.Module, derived: Collection[Derived] = ()) -> None:
        self.context, self.settings, self.derived = context, settings, tuple(derived)
        self.module = module
        self.epochs = settings.epochs
        self.epoch = 0  # of the batches that `fetch` gives now, for losses that begin later than others
        self.updates: Sequence[Update] = ()
        self.normalisation = normalisation_of(context.clip, settings)
        self._loader: Loader | None = None  # its processes live through all epochs
        self._pids = [context.labels.pids[s.pid] for s in context.train]
        self._transform = Transform(
            settings.height, settings.width, settings.resize, flip=settings.flip, pad=settings.pad, erase=settings.erase
        )

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        """P distinct identities with K pictures each per batch (the sampler of torchreid and CLIP-ReID)."""
        generator = np.random.default_rng(np.random.SeedSequence([self.context.seed, epoch]))
        return pk_batches(self._pids, self.settings.identities, self.settings.images_per_identity, generator)

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Batches of uint8 pictures with their random geometry; normalised in `prepare`, on the device."""
        self.epoch = epoch
        if self._loader is None:
            context, part = self.context, (rank(), size())
            self._loader = Loader(
                context.source,
                context.train,
                transform=self._transform,
                seed=context.seed,
                workers=context.workers,
                labels=context.labels,
                part=part,
                device=context.device,
            )
        yield from self._loader.epoch(epoch, self.plan(epoch)[start:])
        if epoch == self.epochs - 1:
            self._loader.close()

    def prepare(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """uint8 batch -> normalised, erased ``x`` (and derived pictures), float32 (B, 3, H, W)."""
        return finish(batch, self.normalisation, self.derived, self.context.source.shielding)

    def forward(self, batch: Mapping[str, Tensor]) -> Any:
        """The method's forward; see the subclass."""
        raise NotImplementedError

    def set_mode(self, training: bool) -> None:
        """Everything in ``module`` trains; what is frozen lies outside it."""
        self.module.train(training)


def stage_schedule(settings: FinetuneSettings) -> Schedule:
    """Multi-step with warm-up as CLIP-ReID publishes it, or warm-up and cosine."""
    if settings.schedule == "multistep":
        return warmup_multistep(settings.milestones, settings.warmup_epochs, settings.warmup_factor)
    warmup = warmup_multistep((), settings.warmup_epochs, settings.warmup_factor) if settings.warmup_epochs else constant()
    decay = cosine(settings.epochs)
    return lambda epoch: warmup(epoch) * decay(epoch)


def stage_groups(named: Iterable[tuple[str, nn.Parameter]], settings: FinetuneSettings) -> list[ParamGroup]:
    """Published groups: biases at twice the rate; the heads apart when ``head_lr_factor`` says so."""
    pairs = list(named)
    heads = [(n, p) for n, p in pairs if ".encoder." not in f".{n}"]
    encoder = [(n, p) for n, p in pairs if ".encoder." in f".{n}"]
    return [
        *param_groups(encoder, settings.lr, settings.weight_decay, settings.bias_lr_factor, name="encoder"),
        *param_groups(heads, settings.lr * settings.head_lr_factor, settings.weight_decay, settings.bias_lr_factor, name="heads"),
    ]
