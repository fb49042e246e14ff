"""Pictures of the training half that some formats measure their number ranges on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reidclip.clip.inference import InferenceEncoder
from reidclip.data.images import read_resized
from reidclip.errors import UserError
from reidclip.records import Dataset
from reidclip.stages.export_pictures import normalised

_BATCH = 16
_MOST = 512  # pictures; ranges of activations hardly move after that


def calibration_of(dataset: Dataset, encoder: InferenceEncoder) -> Callable[[], Iterator[Tensor]]:
    """Something that gives normalised batches (B, 3, H, W) of the training half, the same ones every time, spread evenly over it.

    Raises:
        UserError: the data has no training half.
    """
    train = dataset.split("train") or dataset.split("all")
    if not train:
        raise UserError(f"{dataset.root} has no training pictures to calibrate on.", "Name data that has some: --data FOLDER.")
    count = min(_MOST, len(train))
    paths = [dataset.file(train[i * len(train) // count].pictures[0]) for i in range(count)]
    height, width = encoder.image_encoder.config.image_size

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(paths), _BATCH):
            read = [read_resized(path, height, width, encoder.options.resize)[0] for path in paths[start : start + _BATCH]]
            yield torch.cat([torch.from_numpy(normalised(one[None], encoder)) for one in read])

    return batches
