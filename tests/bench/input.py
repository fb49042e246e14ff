"""The input pipeline alone against the training step that it feeds: reidclip-tiny, fine-tuned by CLIP-ReID at 256 x 128.

Pictures are JPEGs of about 400 x 200, as cameras' crops are, with 1-bit masks beside them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from reidclip.clip.load import load_clip
from reidclip.data.cache import Cache, CacheKind
from reidclip.data.images import Decoding, read_resized, write_mask_png
from reidclip.data.loader import Loader
from reidclip.data.photometric import Changes, Photometric, after_geometry, before_geometry, draw_changes
from reidclip.data.samplers import epoch_generator, shuffled_batches
from reidclip.data.source import ImageSource
from reidclip.data.transforms import NORMALISATIONS, Derived, Transform, finish, normalise, training
from reidclip.records import Sample
from tests.bench.finetune import batch_of, stage_of, timed
from tests.bench.row import Row, seconds

HEIGHT, WIDTH = 256, 128
IDENTITIES, PICTURES = 16, 4
BATCH = IDENTITIES * PICTURES
TARGET = 2.0  # times what the step takes
FGDI_TARGET = 125.0  # pictures per second and core: 1,000 of 8 cores keep a GPU busy


@dataclass(frozen=True)
class Set:
    """Files of the pictures and masks."""

    pictures: tuple[Path, ...]
    masks: tuple[Path, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        """One per picture."""
        return tuple(Sample(path.name, i // PICTURES, i % 2, i // PICTURES, "train") for i, path in enumerate(self.pictures))


def write_set(folder: Path, count: int) -> Set:
    """Soft shapes with a camera's noise: they take as many bytes as photographs do (about 20 KiB at quality 90)."""
    rng = np.random.default_rng(0)
    pictures, masks = [], []
    for i in range(count):
        height, width = 400 + int(rng.integers(-30, 31)), 200 + int(rng.integers(-20, 21))
        soft = Image.fromarray(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        noisy = np.array(soft.filter(ImageFilter.GaussianBlur(3)), np.int16) + rng.normal(0, 5, (height, width, 3)).astype(np.int16)
        pictures.append(folder / f"{i:05d}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(pictures[-1], quality=90)
        masks.append(folder / f"{i:05d}.png")
        mask = np.ones((height, width), np.uint8)
        mask[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 0
        write_mask_png(masks[-1], mask)
    return Set(tuple(pictures), tuple(masks))


def main(quick: bool) -> list[Row]:
    """Pictures per second of the step and of the pipeline in several settings, each with its ratio to the faster step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_set(folder, BATCH * (2 if quick else 8))
        steps = {precision: step_rate(precision, quick) for precision in ("fp32", "bf16")}
        rows = [Row(f"reidclip-tiny step, {p}, batch {BATCH}", rate, "images/s") for p, rate in steps.items()]
        return [*rows, *pipeline_rows(files, folder, max(steps.values()), quick), *decoding_rows(files), *fgdi_rows(files)]


def step_rate(precision: str, quick: bool) -> float:
    """Pictures per second of the fine-tuning step, on a batch that is there already."""
    clip = load_clip("reidclip-tiny", image_size=(HEIGHT, WIDTH))
    stage = stage_of("clipreid", clip, torch.device("cpu"), precision)
    return BATCH / timed(stage, batch_of(IDENTITIES, PICTURES, HEIGHT, WIDTH), precision, 1 if quick else 3)


def pipeline_rows(files: Set, folder: Path, step: float, quick: bool) -> Iterator[Row]:
    """Everything up to the network's input: decoding or cache, augmentation, and `finish` on the batch."""
    both: tuple[Derived, ...] = ("shield", "clothes")
    cases: Sequence[tuple[str, CacheKind, int, tuple[Derived, ...], Decoding]] = (
        ("decoding every time", "none", 0, (), "exact"),
        ("decoding every time, 1 worker", "none", 1, (), "exact"),
        ("decoding every time, 2 workers", "none", 2, (), "exact"),
        ("decoding every time, fast", "none", 0, (), "fast"),
        ("decoding every time, masks and derived pictures", "none", 0, both, "exact"),
        ("in memory", "ram", 0, (), "exact"),
        ("in memory, 2 workers", "ram", 2, (), "exact"),
        ("in memory, masks and derived pictures", "ram", 0, both, "exact"),
        ("packed file", "disk", 0, (), "exact"),
        ("packed file, 2 workers", "disk", 2, (), "exact"),
        ("packed file, masks and derived pictures", "disk", 0, both, "exact"),
    )
    for what, cache, workers, derived, decoding in cases:
        source = ImageSource(files.pictures, files.masks if derived else None, cache=Cache(cache, folder / "cache"), decoding=decoding)
        loader = Loader(source, files.samples, transform=training(HEIGHT, WIDTH), workers=workers)
        first = epoch_rate(loader, 0, derived)
        rate = max(epoch_rate(loader, epoch, derived) for epoch in range(1, 2 if quick else 4))
        loader.close()
        note = f"{rate:.0f} images/s; first epoch, with the start: {first:.0f}"
        yield Row(f"pipeline / step: {what}", rate / step, "x", TARGET, True, note)


def fgdi_rows(files: Set) -> Iterator[Row]:
    """The published program of CLIP-FGDI at 224 x 224: what one core gives, from file to network; and its steps alone."""
    whole = Photometric(grey=0.1, jitter=0.1, augmix=0.6)
    for what, photometric, target in (("no changes of colour", Photometric(), None), ("grey, jitter, AugMix", whole, FGDI_TARGET)):
        transform = Transform(224, 224, "bicubic", flip=0.4, pad=10, photometric=photometric)
        loader = Loader(ImageSource(files.pictures, cache=Cache("none")), files.samples, transform=transform, workers=0)
        rate = max(epoch_rate(loader, epoch, (), "instance") for epoch in range(2))
        yield Row(f"decoding, 224 x 224, instance normalisation, {what}, one core", rate, "images/s", target)
    planes = read_resized(files.pictures[0], 224, 224, "bicubic")[0].transpose(2, 0, 1).copy()
    for what, photometric in (("jitter", Photometric(jitter=1)), ("AugMix", Photometric(augmix=1)), ("as published", whole)):
        drawn = [draw_changes(photometric, np.random.default_rng(i)) for i in range(300)]

        def change(drawn: Sequence[Changes] = drawn) -> None:
            for changes in drawn:
                after_geometry(changes, before_geometry(changes, planes).copy())

        yield Row(f"changes of colour alone, 224 x 224, {what}", 300 / min(seconds(change) for _ in range(3)), "images/s")
    batch = torch.from_numpy(np.stack([planes] * BATCH))
    times = {name: min(seconds(lambda n=n: normalise(batch, n)) for _ in range(5)) for name, n in NORMALISATIONS.items()}
    yield Row("instance normalisation over a fixed one, 224 x 224", times["instance"] / times["half"], "x")


def epoch_rate(loader: Loader, epoch: int, derived: Sequence[Derived], normalisation: str = "half") -> float:
    """Pictures per second over one epoch."""
    count = len(loader)
    plan = shuffled_batches(count, BATCH, epoch_generator(0, epoch))

    def run() -> None:
        for batch in loader.epoch(epoch, plan):
            finish(batch, NORMALISATIONS[normalisation], derived)

    return count / seconds(run)


def decoding_rows(files: Set) -> Iterator[Row]:
    """decode = "fast" against "exact", on pictures that are at least twice the target's size: time, and grey levels."""
    height, width = 160, 80
    rates: dict[Decoding, float] = {}
    pixels: dict[Decoding, Any] = {}

    def decode(decoding: Decoding) -> None:
        pixels[decoding] = np.stack([read_resized(path, height, width, "bicubic", decoding)[0] for path in files.pictures])

    for decoding in ("exact", "fast"):
        decode(decoding)
        rates[decoding] = min(seconds(lambda chosen=decoding: decode(chosen)) for _ in range(2))
    difference = np.abs(pixels["exact"].astype(np.int16) - pixels["fast"])
    size = f"400 x 200 to {height} x {width}"
    yield Row(f"fast decoding, speed-up, {size}", rates["exact"] / rates["fast"], "x")
    yield Row(f"fast decoding, mean difference, {size}", float(difference.mean()), "grey levels", note=f"largest {difference.max()}")
