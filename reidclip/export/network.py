"""What every exporter writes down: an encoder as a function of plain tensors, with the pre-processing inside where that is asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reidclip.clip.inference import InferenceEncoder
from reidclip.export.resample import resampled
from reidclip.interfaces import ExportPlan

PICTURES, CAMERA, VECTORS = "pictures", "camera", "vectors"  # names of inputs and output in every format that has names
_FLAT = 1e-5  # as `reidclip.data.transforms` adds to a picture's own variance


class ExportNetwork(nn.Module):
    """An encoder from pictures to vectors, in evaluation mode.

    Without pre-processing it takes normalised float32 (B, 3, H, W); with it uint8 (B, H, W, 3) of the encoder's size, of any size where
    ``resize`` is set. Encoders with camera embeddings take ``camera`` (B,) int64 too.

    Args:
        encoder: on the CPU, shared and not copied.
        preprocessing: normalise inside.
        resize: resize inside, as Pillow does; needs ``preprocessing``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: InferenceEncoder, preprocessing: bool = False, resize: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.preprocessing = preprocessing
        self.resize = resize
        normalisation = encoder.options.normalisation
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, 3, 1, 1), persistent=False)
        self.eval()

    @classmethod
    def of(cls, encoder: nn.Module, plan: ExportPlan) -> ExportNetwork:
        """The network that a plan asks for."""
        assert isinstance(encoder, InferenceEncoder)
        return cls(encoder, plan.preprocessing, plan.resize)

    @property
    def cameras(self) -> int:
        """How many cameras have an embedding; 0: the network takes no camera."""
        return self.encoder.image_encoder.config.sie_cameras

    @property
    def input_names(self) -> list[str]:
        """In the order of `forward`."""
        return [PICTURES, CAMERA] if self.cameras else [PICTURES]

    def forward(self, pictures: Tensor, camera: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) float32 normalised, or (B, H, W, 3) uint8 with the pre-processing inside -> (B, D) float32."""
        x = self._prepared(pictures) if self.preprocessing else pictures
        vectors: Tensor = self.encoder(x, camera)
        return vectors

    def example(self, batch: int = 2) -> tuple[Tensor, ...]:
        """Inputs of the right shapes and kinds, to be traced with."""
        height, width = self.encoder.image_encoder.config.image_size
        generator = torch.Generator().manual_seed(0)
        if self.resize:  # no size of its own, nor a square: nothing of the example may stick
            height, width = 2 * height + 3, 2 * width + 5
        grey = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=generator)
        pictures = grey if self.preprocessing else torch.randn(batch, 3, height, width, generator=generator)
        return (pictures, torch.arange(batch) % self.cameras) if self.cameras else (pictures,)

    def described(self) -> dict[str, Any]:
        """Inputs and outputs for ``export.json``: names, shapes ("batch", "height", "width" are free) and kinds of numbers."""
        height, width = self.encoder.image_encoder.config.image_size
        size: list[str | int] = ["height", "width"] if self.resize else [height, width]
        shape = ["batch", *size, 3] if self.preprocessing else ["batch", 3, *size]
        inputs = [{"name": PICTURES, "shape": shape, "dtype": "uint8" if self.preprocessing else "float32"}]
        if self.cameras:
            inputs.append({"name": CAMERA, "shape": ["batch"], "dtype": "int64"})
        return {"inputs": inputs, "outputs": [{"name": VECTORS, "shape": ["batch", self.encoder.width], "dtype": "float32"}]}

    def _prepared(self, pictures: Tensor) -> Tensor:
        """`reidclip.data.transforms.normalise` behind, where asked for, Pillow's resizing."""
        x = pictures.permute(0, 3, 1, 2).float()
        if self.resize:
            height, width = self.encoder.image_encoder.config.image_size
            x = resampled(x, height, width, self.encoder.options.resize)
        x = x / 255
        if not self.encoder.options.per_picture:
            return (x - self.mean) / self.std
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + _FLAT).sqrt()
