"""The frozen teacher: what it says of the pictures that the student sees, at its own size and normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.clip.geometry import Size
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.geometry import Fill
from reidclip.data.transforms import Normalisation, finish
from reidclip.parallel.rows import gather_rows


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned encoder in evaluation mode that nothing here changes.

    Attributes:
        encoder: gives a feature as its own evaluation does: its neck, its mirror images, its length. Camera embeddings are left out.
        erase_fill: what erased boxes hold after normalisation, as for the student; None: noise.
    """

    encoder: InferenceEncoder
    erase_fill: Fill | None = None

    @property
    def size(self) -> Size:
        """(height, width) of the pictures that it reads."""
        height, width = self.encoder.image_encoder.config.image_size
        return height, width

    @torch.no_grad()
    def features(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Features of a batch as the loader gives it: the augmented pictures themselves ("consistent teacher", Beyer et al., CVPR 2022).

        Returns:
            (B, W) in at least float32, of all processes' pictures; of clips the mean over their frames.
        """
        pictures = finish(batch, self.encoder.options.normalisation, erase_fill=self.erase_fill)["x"]
        features: Tensor = self.encoder(at_size(pictures, self.size))
        return gather_rows(features)


def at_size(pictures: Tensor, size: Size) -> Tensor:
    """Bring normalised pictures (B, ..., 3, H, W) to (height, width): bilinearly with antialiasing, on their device."""
    if tuple(pictures.shape[-2:]) == tuple(size):  # the same numbers, then
        return pictures
    resized = F.interpolate(pictures.flatten(0, -4), size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
    return resized.reshape(*pictures.shape[:-2], *size)


def larger(first: Size, second: Size) -> Size:
    """The smallest (height, width) that neither of two sizes exceeds: pictures of it are made smaller for both, never larger."""
    return max(first[0], second[0]), max(first[1], second[1])


def normalised(batch: Mapping[str, Tensor], normalisation: Normalisation, size: Size, erase_fill: Fill | None) -> Tensor:
    """The student's pictures of a batch of uint8: normalised, erased, at its size; (B, ..., 3, height, width)."""
    return at_size(finish(batch, normalisation, erase_fill=erase_fill)["x"], size)
