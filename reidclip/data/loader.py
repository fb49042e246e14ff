"""From index lists to batches of uint8 tensors: decoding, masks, random geometry, worker processes, a cache in memory.

    source = ImageSource.of(dataset, samples, masks=folder_of_masks)
    for batch in fetch(source, samples, plan, transform=TRAIN, seed=0, epoch=3, labels=labels, workers=2):
        views = finish(batch, NORMALISATIONS["half"], derived=("shield", "clothes"))    # reidclip.data.transforms

What a batch holds does not depend on the number of workers nor on where in the epoch one starts: the random choices for a
picture come from (seed, epoch, index, how often the index occurred before in this batch).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from reidclip.data.images import UInt8
from reidclip.data.transforms import Transform
from reidclip.records import Dataset, LabelMap, Sample


def default_workers() -> int:
    """Processes that decode pictures: the usable cores less one, at most 8; none at all on one or two cores."""
    raise NotImplementedError


class ImageSource:
    """Pictures, and masks when asked for, by index; index ``i`` belongs to ``samples[i]`` of whoever made the source.

    Args:
        paths: one picture per index.
        keep_paths: one mask file per index (1 = not clothes), or None.
        cache_bytes: resized pictures are kept in memory when all of them fit in so many bytes; 0 keeps none. A source
            whose pictures fit is read in the calling process, whatever the number of workers.
    """

    def __init__(self, paths: Sequence[Path], keep_paths: Sequence[Path] | None = None, *, cache_bytes: int = 2**30) -> None:
        raise NotImplementedError

    @classmethod
    def of(cls, dataset: Dataset, samples: Sequence[Sample], *, masks: Path | None = None, cache_bytes: int = 2**30) -> ImageSource:
        """Source of some samples of a data set; ``masks`` is a folder of 1-bit PNGs that mirrors the relative paths.

        Raises:
            UserError: a sample has no mask there; names the first and says how many.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def decode(self, index: int) -> UInt8:
        """The picture as it is on disk, upright: (H, W, 3) uint8 RGB. Raises `WorkError` naming a broken file."""
        raise NotImplementedError

    def decode_keep(self, index: int) -> UInt8:
        """The mask as it is on disk: (H, W) uint8, 1 = not clothes. Raises `WorkError` naming a broken file."""
        raise NotImplementedError


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
) -> Iterator[dict[str, Tensor]]:
    """Yield one batch per index list, in order. B pictures of H x W each:

    =========== ================= =======================================================================
    image       uint8 (B,3,H,W)   RGB after resize, flip, pad and crop; not normalised, nothing erased yet
    keep        uint8 (B,H,W)     1 = not clothes, same geometry; only if the source has masks
    erase       int64 (B,4)       box to erase: top, left, height, width; zeros when there is none
    erase_seed  int64 (B,)        seed of the noise that fills the box
    pid         int64 (B,)        training label of the identity if ``labels`` are given, else the data set's number
    clothes     int64 (B,)        the same for clothes
    camid       int64 (B,)        camera key of the filter rules
    index       int64 (B,)        index into ``samples``
    =========== ================= =======================================================================

    Args:
        source, samples: of equal length; index i means the same in both.
        batches: index lists, possibly only the rest of an epoch.
        transform: what happens to each picture.
        seed, epoch: of the random geometry.
        workers: worker processes; 0 reads in this process; None takes `default_workers`.
        labels: dense training labels.

    Raises:
        WorkError: a broken picture or mask, whichever process met it; names the file.
    """
    raise NotImplementedError


def iterate_pictures(paths: Sequence[Path], workers: int | None = None) -> Iterator[UInt8]:
    """Decode pictures in order at their own sizes, (H, W, 3) uint8 each, reading ahead in worker processes.

    Raises:
        WorkError: a broken picture; names the file.
    """
    raise NotImplementedError
