"""A loaded schp-tiny: pictures in, label maps out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reidclip.data.lip import LIP_LABELS
from reidclip.errors import UserError
from reidclip.train.precision import autocast, check_precision
from reidclip_schp.mirror import mirrored_order
from reidclip_schp.settings import SchpSettings
from reidclip_schp.tiny_geometry import labels_at_picture_size, letterbox
from reidclip_schp.tiny_network import TinyParserNet
from reidclip_schp.tiny_weights import KIND, read_weights

BATCH_SIZE = 32
"""Pictures per forward pass unless the settings say otherwise."""
MULTIPLE = 16
"""The network halves its input four times."""
MEAN, STD = 0.5, 0.25


def normalise(pictures: Tensor) -> Tensor:
    """Uint8 (B, H, W, 3) RGB -> float32 (B, 3, H, W), (value / 255 - 0.5) / 0.25."""
    return ((pictures.float() / 255.0 - MEAN) / STD).permute(0, 3, 1, 2)


@dataclass
class TinySession:
    """`reidclip.interfaces.ParserSession` of schp-tiny."""

    network: TinyParserNet
    input_hw: tuple[int, int]
    batch_size: int
    flip: bool
    device: torch.device
    version: str
    name: str = KIND
    labels: tuple[str, ...] = tuple(LIP_LABELS)
    precision: str = "fp32"

    @classmethod
    def open(cls, weights: Path, settings: SchpSettings, device: torch.device) -> TinySession:
        """Load weights and move them to the device.

        Raises:
            UserError: weights that do not fit, an input size that the network cannot take, a precision that the device cannot do.
        """
        precision = check_precision(settings.precision, device)
        network, (height, width), digest = read_weights(weights)
        if network.labels != len(LIP_LABELS):
            raise UserError(
                f"The weights in {weights} know {network.labels} labels, not the {len(LIP_LABELS)} of LIP.", "Train them again."
            )
        size = (settings.height or height, settings.width or width)
        for side, value in zip(("height", "width"), size, strict=True):
            if value % MULTIPLE:
                raise UserError(
                    f"Setting '{side}' is {value}, not a multiple of {MULTIPLE}, as schp-tiny needs.", "Leave it out, or round it."
                )
        network = network.to(device).to(memory_format=torch.channels_last)
        flip = True if settings.flip is None else settings.flip
        return cls(network, size, settings.batch_size or BATCH_SIZE, flip, device, digest, precision=precision)

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.uint8]]:
        """RGB uint8 (H, W, 3) pictures of any sizes -> uint8 (H, W) LIP label maps of the same sizes."""
        maps: list[npt.NDArray[np.uint8]] = []
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            for picture, scores in zip(chunk, self._scores(chunk), strict=True):
                maps.append(labels_at_picture_size(scores, (picture.shape[0], picture.shape[1]), self.input_hw))
        return maps

    @torch.inference_mode()
    def _scores(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        stacked = torch.from_numpy(np.stack([letterbox(picture, self.input_hw) for picture in pictures]))
        x = normalise(stacked.to(self.device))
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=self.precision == "tf32"), autocast(self.device, self.precision):
            scores = self.network(x)
            if self.flip:
                scores = scores + self.network(x.flip(3)).flip(3)[:, mirrored_order(self.labels)]
        array: npt.NDArray[np.float32] = scores.float().cpu().numpy()
        return array
