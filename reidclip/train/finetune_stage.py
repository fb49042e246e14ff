"""Fine-tuning on pictures: batches, augmentation and optimiser groups that methods share. A method adds forward and losses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from reidclip.data.balanced_batches import balanced_batches
from reidclip.data.clips import RandomClip
from reidclip.data.geometry import ERASINGS, Transform
from reidclip.data.loader import Loader
from reidclip.data.photometric import Photometric
from reidclip.data.samplers import chunk_batches, epoch_generator, pk_batches
from reidclip.data.transforms import Derived, finish
from reidclip.interfaces import ParamGroup, StageContext, Update
from reidclip.parallel.processes import rank, size
from reidclip.train.model_inputs import normalisation_of
from reidclip.train.optim import param_groups
from reidclip.train.schedule import Schedule, constant, cosine, stepwise, warmup_multistep
from reidclip.train.settings import TrainingSettings


class FinetuneStage:
    """Batches of augmented pictures, K of each of P identities.

    A subclass sets ``module`` and ``updates`` and writes `forward`. Batches reach it normalised: ``x``, and ``x_s``, ``x_c`` when
    ``derived`` asks for them, with ``pid``, ``clothes`` and ``camid``.
    """

    def __init__(self, context: StageContext, settings: TrainingSettings, module: nn.Module, derived: Collection[Derived] = ()) -> None:
        self.context, self.settings, self.derived = context, settings, tuple(derived)
        self.module = module
        self.epochs = settings.epochs
        self.epoch = 0  # of the batches that `fetch` gives now, for losses that begin later than others
        self.updates: Sequence[Update] = ()
        self.notes: Sequence[str] = ()
        self.normalisation = normalisation_of(context.clip, settings)
        self._loader: Loader | None = None  # its processes live through all epochs
        self._pids = [context.labels.pids[s.pid] for s in context.train]
        self._transform = transform_of(settings)

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        """Batches of the sampler that the settings name; see `reidclip.data.samplers` and `reidclip.data.balanced_batches`."""
        s, generator = self.settings, epoch_generator(self.context.seed, epoch)
        if s.balance_domains:
            domains = [sample.domain for sample in self.context.train]
            distinct = s.sampler == "pk"
            return balanced_batches(self._pids, domains, s.identities, s.images_per_identity, generator, distinct=distinct)
        batches = chunk_batches if s.sampler == "chunk" else pk_batches
        return batches(self._pids, s.identities, s.images_per_identity, generator)

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
                clip=RandomClip(self.settings.clip_frames, self.settings.clip_stride),
            )
        yield from self._loader.epoch(epoch, self.plan(epoch)[start:])
        if epoch == self.epochs - 1:
            self._loader.close()

    def prepare(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """uint8 batch -> normalised, erased ``x`` (and derived pictures), float32 (B, 3, H, W); of tracklets clips (B, T, 3, H, W)."""
        fill = self._transform.erasing.fill
        return finish(batch, self.normalisation, self.derived, self.context.source.shielding, erase_fill=fill)

    def forward(self, batch: Mapping[str, Tensor]) -> Any:
        """The method's forward; see the subclass."""
        raise NotImplementedError

    def set_mode(self, training: bool) -> None:
        """Everything in ``module`` trains; what is frozen lies outside it."""
        self.module.train(training)


def transform_of(settings: TrainingSettings) -> Transform:
    """Augmentation as the settings say."""
    return Transform(
        settings.height,
        settings.width,
        settings.resize,
        flip=settings.flip,
        pad=settings.pad,
        erase=settings.erase,
        crop=settings.crop,
        enlarge=settings.enlarge,
        erasing=ERASINGS[settings.erasing],
        photometric=Photometric(settings.grey, settings.jitter, settings.jitter_strength, settings.augmix, settings.augmix_severity),
    )


def stage_schedule(settings: TrainingSettings) -> Schedule:
    """Multi-step with warm-up as CLIP-ReID publishes it (or CAL, without warm-up), or warm-up and cosine, or warm-up and even steps."""
    if settings.schedule == "multistep":
        return warmup_multistep(settings.milestones, settings.warmup_epochs, settings.warmup_factor, first_index=settings.first_index)
    warmup = warmup_multistep((), settings.warmup_epochs, settings.warmup_factor) if settings.warmup_epochs else constant()
    decay = cosine(settings.epochs) if settings.schedule == "cosine" else stepwise(settings.decay, settings.decay_epochs)
    return lambda epoch: warmup(epoch) * decay(epoch)


def stage_groups(named: Iterable[tuple[str, nn.Parameter]], settings: TrainingSettings) -> list[ParamGroup]:
    """Published groups: biases at twice the rate; the heads apart when ``head_lr_factor`` says so."""
    pairs = list(named)
    heads = [(n, p) for n, p in pairs if ".encoder." not in f".{n}"]
    encoder = [(n, p) for n, p in pairs if ".encoder." in f".{n}"]
    return [
        *param_groups(encoder, settings.lr, settings.weight_decay, settings.bias_lr_factor, name="encoder"),
        *param_groups(heads, settings.lr * settings.head_lr_factor, settings.weight_decay, settings.bias_lr_factor, name="heads"),
    ]
