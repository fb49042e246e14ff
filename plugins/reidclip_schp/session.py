"""A loaded SCHP network: pictures in, label maps out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reidclip.train.precision import check_precision
from reidclip_schp.checkpoint import read_checkpoint
from reidclip_schp.crop import Crop, labels_at_picture_size, normalised, warp
from reidclip_schp.fold import fold
from reidclip_schp.labelling import LabelNetwork
from reidclip_schp.mirror import mirrored_order
from reidclip_schp.network import SchpNetwork
from reidclip_schp.settings import SchpSettings

BATCH_SIZE = 4
"""Pictures per forward pass unless the settings say otherwise; one takes about 180 MB beside the weights."""
ROUNDED = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What most layers compute in, by precision; `LabelNetwork` says which."""


@dataclass
class FullSession:
    """`reidclip.interfaces.ParserSession` of the full network."""

    network: LabelNetwork
    labels: tuple[str, ...]
    input_hw: tuple[int, int]
    batch_size: int
    flip: bool
    device: torch.device
    version: str
    name: str = "schp"
    precision: str = "fp32"

    @classmethod
    def open(cls, weights: Path, settings: SchpSettings, device: torch.device) -> FullSession:
        """Load a checkpoint, fold its normalisations and move it to the device.

        Raises:
            UserError: see `read_checkpoint`; a precision that the device cannot do.
        """
        precision = check_precision(settings.precision, device)
        found = read_checkpoint(weights)
        network = labelling(found.network, precision, device)
        size = (settings.height or found.input_hw[0], settings.width or found.input_hw[1])
        batch_size = settings.batch_size or BATCH_SIZE
        return cls(network, found.label_set.labels, size, batch_size, bool(settings.flip), device, found.digest, precision=precision)

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.uint8]]:
        """RGB uint8 (H, W, 3) pictures of any sizes -> uint8 (H, W) label maps of the same sizes."""
        maps: list[npt.NDArray[np.uint8]] = []
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            crops = [Crop.of((image.shape[0], image.shape[1]), self.input_hw) for image in chunk]
            scores = self.scores([warp(image, crop) for image, crop in zip(chunk, crops, strict=True)])
            maps += [labels_at_picture_size(each, crop) for each, crop in zip(scores, crops, strict=True)]
        return maps

    @torch.inference_mode()
    def scores(self, warped: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        """RGB uint8 (H, W, 3) inputs, warped -> fusion scores (B, labels, H / 4, W / 4), with ``flip`` the mean with the mirrored."""
        x = normalised(torch.from_numpy(np.stack(warped)).to(self.device))
        # TF32, the default of convolutions on newer GPUs, would make label maps depend on the GPU unasked.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=self.precision == "tf32"):
            scores: Tensor = self.network(x)
            if self.flip:
                mirrored: Tensor = self.network(x.flip(3))
                scores = (scores + mirrored.flip(3)[:, mirrored_order(self.labels)]) / 2
        return scores


def labelling(network: SchpNetwork, precision: str, device: torch.device) -> LabelNetwork:
    """A network as it was loaded, made ready to run; it cannot be used otherwise afterwards."""
    folded = fold(network).to(device).to(memory_format=torch.channels_last)
    return LabelNetwork(folded, ROUNDED.get(precision)).requires_grad_(False)
