"""What an explanation is of, and its pictures as the encoders see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.artifacts.store import Artifact
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.cache import Cache
from reidclip.data.images import picture_size
from reidclip.data.loader import ImageSource, fetch
from reidclip.data.transforms import Transform, finish
from reidclip.explain.maps import MapKind
from reidclip.explain.placing import Cells, Floats, on_picture
from reidclip.explain.regions import Regions
from reidclip.explain.shares import mass_by_region
from reidclip.records import Dataset
from reidclip.stages.explain_pictures import Chosen, Labels
from reidclip.train.device import pick_device

Progress = Callable[[int, int], None]
TRANSPORT: Literal["transport"] = "transport"


@dataclass(frozen=True)
class ExplainJob:
    """An explanation with everything decided and nothing loaded.

    Attributes:
        checkpoints: one, or several to be seen side by side.
        dataset: the pictures, and no others.
        map: kind of map, or "auto".
        labels: label maps of the pictures; None for no shares.
        towards: a picture; None explains each picture's own feature.
        output: folder that is made; None writes nothing.
        draw: sheets and overlays too.
        seed: of the bootstrap, and of the choice of pictures.
        chosen: what the pictures were taken from.
        phrases: of transport maps, those that were asked for; none takes the pairs whose mass is most concentrated.
        teacher: of transport maps, the CLIP that says which phrases fit; None takes that of the distillation, if it is at hand.
    """

    checkpoints: tuple[Artifact, ...]
    dataset: Dataset
    map: str = "auto"
    labels: Labels | None = None
    towards: Path | None = None
    output: Path | None = None
    draw: bool = True
    per_sheet: int = 24
    batch_size: int = 32
    device: str = "auto"
    workers: int | None = None
    seed: int = 0
    chosen: Chosen | None = None
    phrases: tuple[str, ...] = ()
    teacher: str | None = None

    @property
    def paths(self) -> list[str]:
        """Relative paths of the pictures, in order."""
        return [s.path for s in self.dataset.samples]


@dataclass(frozen=True)
class Words:
    """What a transport map is of.

    Attributes:
        title: "tall", or "tall / short" where the one that fits each picture was taken.
        said: the phrase of each picture.
        even: (N,) how evenly each map is spread, see `reidclip.explain.phrase_maps.evenness`.
        by: who said which phrases fit: spec of a CLIP, or "student".
        note: why it is the student, in a sentence; "" otherwise.
    """

    title: str
    said: tuple[str, ...]
    even: Floats
    by: str
    note: str = ""


@dataclass(frozen=True)
class Explained:
    """What one checkpoint's maps show; of transport maps, those of one phrase.

    Attributes:
        kind: of the maps.
        cells: where their cells lie.
        heat: (N, h, w) float32, in the order of the job's pictures.
        mass: (N, R) share of each map on each region; zeros for a map that is zero. None without labels.
        pixels: (N, R) share of each picture's pixels in each region; None without labels.
        zero: indices of the pictures whose map is zero everywhere.
        words: of transport maps alone.
    """

    checkpoint: Artifact
    kind: MapKind | Literal["transport"]
    cells: Cells
    heat: np.ndarray
    mass: Floats | None
    pixels: Floats | None
    zero: tuple[int, ...]
    words: Words | None = None

    @property
    def title(self) -> str:
        """Of its column in a sheet."""
        return f"{self.checkpoint.ref} ({self.kind})" if self.words is None else f"{self.checkpoint.ref}: {self.words.title}"


def shares_of(job: ExplainJob, path: str, heat: np.ndarray, cells: Cells, regions: Regions) -> tuple[Floats, Floats]:
    """Share of the map, and of the pixels, on each region of one picture."""
    assert job.labels is not None
    labels = job.labels.read(job.dataset, path)
    even = np.full(labels.shape, 1 / labels.size)
    return mass_by_region(on_picture(heat, cells, *labels.shape), labels, regions), mass_by_region(even, labels, regions)


def mass_on_picture(job: ExplainJob, explained: Explained, index: int) -> Floats:
    """The map of one of the job's pictures at its own size, summing to one (or zero everywhere)."""
    height, width = picture_size(job.dataset.absolute(job.dataset.samples[index]))
    return on_picture(explained.heat[index], explained.cells, height, width)


def load_encoder(artifact: Artifact, job: ExplainJob) -> InferenceEncoder:
    """The encoder of a checkpoint, its files checked, in evaluation mode and without gradients."""
    for name in ("encoder.safetensors", "encoder.json"):
        artifact.file(name)  # verifies the digest
    encoder = InferenceEncoder.load(artifact.path, pick_device(job.device))
    return encoder.requires_grad_(False)


def batches(job: ExplainJob, encoder: InferenceEncoder) -> Iterator[tuple[Tensor, Tensor | None]]:
    """(normalised pictures, cameras or None) as evaluation sees them, in order."""
    samples, device = job.dataset.samples, next(encoder.parameters()).device
    source = ImageSource.of(job.dataset, samples, cache=Cache("none"))
    plan = [range(start, min(start + job.batch_size, len(samples))) for start in range(0, len(samples), job.batch_size)]
    known = encoder.image_encoder.config.sie_cameras
    cameras = bool(known) and all(s.pid >= 0 and s.camid < known for s in samples)  # plain pictures have no camera: embeddings are left out
    for batch in fetch(source, samples, plan, transform=transform_of(encoder), workers=job.workers, device=device):
        views = finish({name: value.to(device) for name, value in batch.items()}, encoder.options.normalisation)
        yield views["x"], batch["camid"].to(device) if cameras else None


def feature_of(picture: Path, encoder: InferenceEncoder) -> Tensor:
    """(width,) unit feature of one picture."""
    device = next(encoder.parameters()).device
    source = ImageSource([picture], cache=Cache("none"))
    image = torch.from_numpy(np.ascontiguousarray(source.pictures(transform_of(encoder))[0]))[None].to(device)
    batch = {"image": image, "erase": torch.zeros(1, 4, dtype=torch.int64), "erase_seed": torch.zeros(1, dtype=torch.int64)}
    feature = encoder.features(finish(batch, encoder.options.normalisation)["x"])
    return F.normalize(feature, dim=1)[0]


def transform_of(encoder: InferenceEncoder) -> Transform:
    """How a picture is brought to the encoder's size."""
    return Transform(*encoder.image_encoder.config.image_size, encoder.options.resize)
