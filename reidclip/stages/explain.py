"""``reidclip explain`` as a function: heat maps of checkpoints, what share of them lies on clothes, sheets and overlays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.cache import Cache
from reidclip.data.images import picture_size
from reidclip.data.loader import ImageSource, fetch
from reidclip.data.transforms import Transform, finish
from reidclip.errors import UserError
from reidclip.explain.maps import MapKind, choose_kind, heat_maps
from reidclip.explain.placing import Cells, Floats, cells_of, on_picture
from reidclip.explain.regions import Regions, regions_of
from reidclip.explain.shares import mass_by_region
from reidclip.records import Dataset
from reidclip.stages.choose import Say
from reidclip.stages.explain_pictures import Chosen, Labels, choose_pictures, with_labels
from reidclip.train.device import pick_device

Progress = Callable[[int, int], None]


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

    @property
    def paths(self) -> list[str]:
        """Relative paths of the pictures, in order."""
        return [s.path for s in self.dataset.samples]


@dataclass(frozen=True)
class Explained:
    """What one checkpoint's maps show.

    Attributes:
        kind: of the maps.
        cells: where their cells lie.
        heat: (N, h, w) float32, in the order of the job's pictures.
        mass: (N, R) share of each map on each region; zeros for a map that is zero. None without labels.
        pixels: (N, R) share of each picture's pixels in each region; None without labels.
        zero: indices of the pictures whose map is zero everywhere.
    """

    checkpoint: Artifact
    kind: MapKind
    cells: Cells
    heat: np.ndarray
    mass: Floats | None
    pixels: Floats | None
    zero: tuple[int, ...]


def plan_explain(
    checkpoint: str,
    images: Sequence[Path],
    store: Store,
    *,
    against: Sequence[str] = (),
    output: Path | None = None,
    shares_only: bool = False,
    layout: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    labels: str | None = None,
    label_set: str | None = None,
    map: str = "auto",
    towards: Path | None = None,
    per_sheet: int = 24,
    batch_size: int = 32,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> ExplainJob:
    """Decide what is explained.

    Args:
        checkpoint: reference; ``against``: further ones.
        images, layout, split, limit: see `reidclip.stages.explain_pictures.choose_pictures`.
        output: a folder that is not there yet, or is empty; may be left out with ``shares_only``.
        shares_only: draw nothing; needs ``labels``.
        labels, label_set: see `reidclip.stages.explain_pictures.with_labels`.

    Raises:
        UserError: anything that does not fit.
    """
    pick_device(device)
    if output is None and not shares_only:
        raise UserError("Nobody said where the pictures go.", "Name a new folder with --output, or ask for --shares-only.")
    if shares_only and labels is None:
        raise UserError("--shares-only needs label maps.", "Name them with --labels: a folder, or a parsing or masks artifact.")
    if output is not None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} is there already and not empty.", "Name a new folder with --output, or empty this one.")
    if towards is not None and not towards.is_file():
        raise UserError(f"There is no picture {towards}.", "Check the path given with --towards.")
    chosen = [store.open(ref, kind="checkpoint") for ref in (checkpoint, *against)]
    pictures = choose_pictures(images, layout, split, limit, seed, not shares_only, say)
    dataset = pictures.dataset
    found: Labels | None = None
    if labels is not None:
        dataset, found = with_labels(dataset, labels, label_set, store, say)
        regions_of(found.label_set)  # what is clothes must be known before the work
    checkpoints = tuple({a.digest: a for a in chosen}.values())
    draw = not shares_only
    return ExplainJob(checkpoints, dataset, map, found, towards, output, draw, per_sheet, batch_size, device, workers, seed, pictures)


def explain(job: ExplainJob, progress: Progress = lambda done, total: None) -> list[Explained]:
    """Compute the maps of every checkpoint and, with labels, their shares; writes nothing.

    Raises:
        UserError: a map that does not fit an encoder, or labels that do not fit a picture.
        WorkError: a picture that cannot be read, or a damaged checkpoint.
    """
    encoders = [_load(artifact, job) for artifact in job.checkpoints]
    kinds = [choose_kind(encoder.image_encoder, job.map) for encoder in encoders]  # all of them before the work
    if job.towards is not None and "rollout" in kinds:
        raise UserError("Attention rollout takes no account of --towards.", "Use --map gradient, or leave --towards out.")
    total = len(job.checkpoints) * len(job.paths)
    results = []
    for number, (artifact, encoder, kind) in enumerate(zip(job.checkpoints, encoders, kinds, strict=True)):
        done = partial(_told, progress, number * len(job.paths), total)
        results.append(_of_checkpoint(job, artifact, encoder, kind, done))
    return results


def _told(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _of_checkpoint(
    job: ExplainJob, artifact: Artifact, encoder: InferenceEncoder, kind: MapKind, progress: Callable[[int], None]
) -> Explained:
    cells = cells_of(encoder.image_encoder.config)
    regions = None if job.labels is None else regions_of(job.labels.label_set)
    towards = None if job.towards is None else _feature_of(job.towards, encoder)
    heat: list[np.ndarray] = []
    mass, pixels = [], []
    for images, camera in _batches(job, encoder):
        heat += list(heat_maps(encoder, images, kind, camera, towards).cpu().numpy())
        for index in range(len(heat) - len(images), len(heat)):
            if regions is not None:
                on, of = _shares(job, job.paths[index], heat[index], cells, regions)
                mass.append(on)
                pixels.append(of)
        progress(len(heat))
    zero = tuple(index for index, one in enumerate(heat) if not one.any())
    if regions is None:
        return Explained(artifact, kind, cells, np.stack(heat), None, None, zero)
    return Explained(artifact, kind, cells, np.stack(heat), np.stack(mass), np.stack(pixels), zero)


def _shares(job: ExplainJob, path: str, heat: np.ndarray, cells: Cells, regions: Regions) -> tuple[Floats, Floats]:
    """Share of the map, and of the pixels, on each region of one picture."""
    assert job.labels is not None
    labels = job.labels.read(job.dataset, path)
    even = np.full(labels.shape, 1 / labels.size)
    return mass_by_region(on_picture(heat, cells, *labels.shape), labels, regions), mass_by_region(even, labels, regions)


def mass_on_picture(job: ExplainJob, explained: Explained, index: int) -> Floats:
    """The map of one of the job's pictures at its own size, summing to one (or zero everywhere)."""
    height, width = picture_size(job.dataset.absolute(job.dataset.samples[index]))
    return on_picture(explained.heat[index], explained.cells, height, width)


def _load(artifact: Artifact, job: ExplainJob) -> InferenceEncoder:
    for name in ("encoder.safetensors", "encoder.json"):
        artifact.file(name)  # verifies the digest
    encoder = InferenceEncoder.load(artifact.path, pick_device(job.device))
    return encoder.requires_grad_(False)


def _batches(job: ExplainJob, encoder: InferenceEncoder) -> Any:
    """(normalised pictures, cameras or None) as evaluation sees them, in order."""
    samples, device = job.dataset.samples, next(encoder.parameters()).device
    source = ImageSource.of(job.dataset, samples, cache=Cache("none"))
    plan = [range(start, min(start + job.batch_size, len(samples))) for start in range(0, len(samples), job.batch_size)]
    known = encoder.image_encoder.config.sie_cameras
    cameras = bool(known) and all(s.pid >= 0 and s.camid < known for s in samples)  # plain pictures have no camera: embeddings are left out
    for batch in fetch(source, samples, plan, transform=_transform(encoder), workers=job.workers, device=device):
        views = finish({name: value.to(device) for name, value in batch.items()}, encoder.options.normalisation)
        yield views["x"], batch["camid"].to(device) if cameras else None


def _feature_of(picture: Path, encoder: InferenceEncoder) -> Tensor:
    """(width,) unit feature of one picture."""
    device = next(encoder.parameters()).device
    source = ImageSource([picture], cache=Cache("none"))
    image = torch.from_numpy(np.ascontiguousarray(source.pictures(_transform(encoder))[0]))[None].to(device)
    batch = {"image": image, "erase": torch.zeros(1, 4, dtype=torch.int64), "erase_seed": torch.zeros(1, dtype=torch.int64)}
    feature = encoder.features(finish(batch, encoder.options.normalisation)["x"])
    return F.normalize(feature, dim=1)[0]


def _transform(encoder: InferenceEncoder) -> Transform:
    return Transform(*encoder.image_encoder.config.image_size, encoder.options.resize)
