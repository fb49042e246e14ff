"""From index lists to batches of uint8 tensors: labels, random geometry and worker processes.

    source = ImageSource.of(dataset, samples, masks=folder_of_masks)
    loader = Loader(source, samples, transform=training(), seed=0, labels=labels)
    for batch in loader.epoch(3, plan):
        views = finish(batch, NORMALISATIONS["half"], derived=("shield", "clothes"))    # reidclip.data.transforms

What a batch holds depends neither on the number of workers nor on the cache nor on where in the epoch one starts: the random choices
for a picture come from (seed, epoch, index, how often the index occurred before in this batch).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reidclip.data.at_work import at
from reidclip.data.cache import Pictures, RamCache
from reidclip.data.clips import RandomClip
from reidclip.data.images import UInt8, read_picture
from reidclip.data.photometric import Changes, after_geometry, before_geometry, draw_changes
from reidclip.data.samplers import part_of_batch
from reidclip.data.source import Decoded, ImageSource
from reidclip.data.transforms import Geometry, Transform, apply, draw, noise_of
from reidclip.data.workers import Workers, default_workers, forks, in_order
from reidclip.records import LabelMap, Sample

__all__ = ["ImageSource", "Loader", "default_workers", "fetch", "iterate_pictures"]

_GEOMETRY_STREAM = 1  # keeps the pictures' generators apart from the epoch's (samplers.epoch_generator)


class Loader:
    """Batches of one source, epoch after epoch; its worker processes are started once. B pictures of H x W in a batch.

    Of tracklets B clips of T frames: ``image`` is (B,T,3,H,W) and ``keep`` (B,T,H,W), with one geometry and one erased box per clip.

    =========== ================= =======================================================================
    image       uint8 (B,3,H,W)   RGB after resize, flip, pad, crop and changes of colour; not normalised, nothing erased yet
    keep        uint8 (B,H,W)     1 = not clothes, same geometry; only if the source has masks
    erase       int64 (B,4)       box to erase: top, left, height, width; zeros when there is none
    erase_seed  int64 (B,)        seed of the noise that fills the box
    noise       float32 (1,1,n)   noise of all boxes of the batch, one after the other; only if the transform erases with noise
    pid         int64 (B,)        training label of the identity if ``labels`` are given, else the data set's number
    clothes     int64 (B,)        the same for clothes
    camid       int64 (B,)        camera key of the filter rules
    domain      int64 (B,)        label of the data set that it is from, by sorted name; 0 where there is one
    index       int64 (B,)        index into ``samples``
    =========== ================= =======================================================================

    Args:
        source: pictures and masks.
        samples: as many as the source has pictures; index i means the same in both.
        transform: what happens to each picture.
        seed: of the random geometry and changes of colour.
        workers: worker processes; 0 reads in this process; None takes `default_workers`, and none on a CPU for pictures that are kept:
            a network on a CPU takes longer than to cut them.
        labels: dense training labels.
        part: (number, of how many): only that consecutive part of every batch is read, as if the whole batch had been.
        device: where the batches go; on their way to a GPU those of worker processes lie in pinned memory.
        clip: draws the frames of a tracklet, from the generator of its geometry; None takes all, as many for each of a batch.

    Raises:
        ValueError: source and samples of different length; later, tracklets of different length without ``clip``.
    """

    def __init__(
        self,
        source: ImageSource,
        samples: Sequence[Sample],
        *,
        transform: Transform,
        seed: int = 0,
        workers: int | None = None,
        labels: LabelMap | None = None,
        part: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
        clip: RandomClip | None = None,
    ) -> None:
        if len(source) != len(samples):
            raise ValueError(f"{len(source)} pictures but {len(samples)} samples")
        self._source, self._transform, self._seed, self._asked, self._part = source, transform, seed, workers, part
        self._columns, self._clip = _Columns.of(samples, labels), clip
        self._to_gpu = device is not None and device.type == "cuda"
        self._workers: Workers[_Key, dict[str, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._source)

    def epoch(self, number: int, batches: Sequence[Sequence[int]]) -> Iterator[dict[str, Tensor]]:
        """Yield one batch per index list, in order; an epoch that was left before its end is over when the next one begins.

        Args:
            number: of the epoch, for the random geometry.
            batches: index lists, possibly only the rest of an epoch.

        Raises:
            UserError, WorkError: the cache cannot be had; a broken picture or mask, whichever process met it; names the file.
        """
        if self._workers is None:
            self._workers = self._start()
        return self._workers.run([(number, tuple(batch)) for batch in batches])

    def close(self) -> None:
        """End the worker processes; the next epoch starts new ones."""
        if self._workers is not None:
            self._workers.close()

    def _start(self) -> Workers[_Key, dict[str, Tensor]]:
        pictures = self._source.pictures(self._transform, partial(_decode_all, workers=self._asked))
        source = self._source
        work = _Assembly(pictures, source.has_masks, self._columns, self._transform, self._seed, self._part, source.groups, self._clip)
        return Workers(work, _count(pictures, self._asked, self._to_gpu), pinned=self._to_gpu)


def fetch(
    source: ImageSource,
    samples: Sequence[Sample],
    batches: Sequence[Sequence[int]],
    *,
    transform: Transform,
    seed: int = 0,
    epoch: int = 0,
    workers: int | None = None,
    labels: LabelMap | None = None,
    part: tuple[int, int] = (0, 1),
    device: torch.device | None = None,
    clip: RandomClip | None = None,
) -> Iterator[dict[str, Tensor]]:
    """One epoch of a `Loader`, whose worker processes end with it. Arguments, batches and errors are the loader's."""
    loader = Loader(source, samples, transform=transform, seed=seed, workers=workers, labels=labels, part=part, device=device, clip=clip)
    return _once(loader, epoch, batches)


def _once(loader: Loader, epoch: int, batches: Sequence[Sequence[int]]) -> Iterator[dict[str, Tensor]]:
    try:
        yield from loader.epoch(epoch, batches)
    finally:
        loader.close()


def iterate_pictures(paths: Sequence[Path], workers: int | None = None) -> Iterator[UInt8]:
    """Decode pictures in order at their own sizes, (H, W, 3) uint8 each, reading ahead in worker processes.

    Args:
        paths: files, in the order wanted.
        workers: processes; None takes `default_workers`.

    Raises:
        WorkError: a broken picture; names the file.
    """
    for picture in in_order(_read, paths, default_workers() if workers is None else workers):
        yield picture.numpy()


def _read(path: Path) -> Tensor:
    at(path)
    return torch.from_numpy(read_picture(path))


_Key = tuple[int, tuple[int, ...]]
"""(epoch, indices of the whole batch)."""

_PICTURES_PER_PIECE = 16  # read by a worker before it hands them over, when all pictures are packed


def _count(pictures: Pictures, asked: int | None, to_gpu: bool) -> int:
    if isinstance(pictures, RamCache) and not forks():
        return 0  # they could not see this process's memory
    if asked is not None:
        return asked
    return default_workers() if isinstance(pictures, Decoded) or to_gpu else 0


def _decode_all(pictures: Pictures, count: int, workers: int | None) -> Iterator[UInt8]:
    """Every picture in order, read ahead by worker processes."""
    pieces = [range(start, min(start + _PICTURES_PER_PIECE, count)) for start in range(0, count, _PICTURES_PER_PIECE)]
    for piece in in_order(partial(_stacked, pictures), pieces, default_workers() if workers is None else workers):
        yield from piece.numpy()


def _stacked(pictures: Pictures, indices: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.stack([pictures[index] for index in indices]))


@dataclass(frozen=True)
class _Columns:
    """What is known of every sample."""

    pid: np.ndarray
    clothes: np.ndarray
    camid: np.ndarray
    domain: np.ndarray

    @classmethod
    def of(cls, samples: Sequence[Sample], labels: LabelMap | None) -> _Columns:
        pids = [s.pid if labels is None else labels.pids[s.pid] for s in samples]
        clothes = [s.clothes_id if labels is None else labels.clothes[s.clothes_id] for s in samples]
        numbers = labels.domains if labels is not None and labels.domains else _numbered({s.domain for s in samples})
        columns = (pids, clothes, [s.camid for s in samples], [numbers[s.domain] for s in samples])
        return cls(*(np.array(column, np.int64) for column in columns))


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(names))}


@dataclass(frozen=True)
class _Assembly:
    """A function from (epoch, indices) to a batch: one worker does all of it."""

    pictures: Pictures
    has_masks: bool
    columns: _Columns
    transform: Transform
    seed: int
    part: tuple[int, int]
    groups: tuple[Sequence[int], ...] | None = None
    clip: RandomClip | None = None

    def __call__(self, key: _Key) -> dict[str, Tensor]:
        epoch, whole = key
        own = part_of_batch(len(whole), *self.part)
        indices, seen = whole[own], Counter(whole[: own.start])  # a picture that comes twice gets two geometries, whoever reads it
        geometries, frames, changes = [], [], []
        for index in indices:
            generator = self._generator(epoch, index, seen[index])
            geometries.append(draw(self.transform, generator))
            frames.append(self._frames(index, generator))
            changes.append(draw_changes(self.transform.photometric, generator))  # last: without it the rest is drawn as ever
            seen[index] += 1
        rows = np.array(indices, np.int64)
        batch = {
            **self._placed(frames, geometries, changes),
            "erase": np.array([g.erase for g in geometries], np.int64).reshape(len(indices), 4),
            "erase_seed": np.array([g.erase_seed for g in geometries], np.int64),
            "index": rows,
            **{name: getattr(self.columns, name)[rows] for name in ("pid", "clothes", "camid", "domain")},
        }
        tensors = {name: torch.from_numpy(column) for name, column in batch.items()}
        if self.transform.erase and self.transform.erasing.fill is None:
            tensors["noise"] = noise_of([g.erase for g in geometries], [g.erase_seed for g in geometries])
        return tensors

    def _frames(self, index: int, generator: np.random.Generator) -> Sequence[int]:
        """Places of the pictures that one row of the batch shows: the picture itself, or a clip of the tracklet."""
        if self.groups is None:
            return (index,)
        group = self.groups[index]
        return group if self.clip is None else [group[frame] for frame in self.clip(len(group), generator)]

    def _placed(self, frames: Sequence[Sequence[int]], geometries: Sequence[Geometry], changes: Sequence[Changes]) -> dict[str, np.ndarray]:
        size = (self.transform.height, self.transform.width)
        lengths = {len(row) for row in frames} or {1}
        if len(lengths) > 1:
            raise ValueError(f"clips of different length in one batch: {sorted(lengths)} frames")
        rows = (len(frames),) if self.groups is None else (len(frames), *lengths)
        image, keep = np.empty((*rows, 3, *size), np.uint8), np.empty((*rows, *size), np.uint8)
        flat = zip(image.reshape(-1, 3, *size), keep.reshape(-1, 1, *size), strict=True)
        for row, geometry, change in zip(frames, geometries, changes, strict=True):
            for place, (out, out_keep) in zip(row, flat, strict=False):
                planes = self.pictures[place]
                apply(self.transform, geometry, before_geometry(change, planes[:3]), out, fill=0)
                after_geometry(change, out)
                if self.has_masks:
                    apply(self.transform, geometry, planes[3:], out_keep, fill=1)
        return {"image": image, "keep": keep} if self.has_masks else {"image": image}

    def _generator(self, epoch: int, index: int, occurrence: int) -> np.random.Generator:
        key = (_GEOMETRY_STREAM, index, occurrence)
        return np.random.default_rng(np.random.SeedSequence([self.seed, epoch], spawn_key=key))
