"""The encoder as a graph that reads mirror images in the same pass, so that no weight is used twice."""

from __future__ import annotations

import torch
from torch import Tensor

from reidclip.export.network import ExportNetwork


class OneReading(ExportNetwork):
    """An `ExportNetwork` without pre-processing whose encoder runs once, over pictures and mirror images as one batch of 2 B.

    ONNX Runtime's quantisation takes a weight away as it comes upon it first and does not find it for a second reading.
    """

    def forward(self, pictures: Tensor, camera: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) float32 normalised -> (B, D) float32."""
        encoder = self.encoder
        if not encoder.options.flip:
            return super().forward(pictures, camera)
        both = None if camera is None else torch.cat([camera, camera])
        joined = encoder.join(encoder.image_encoder(torch.cat([pictures, pictures.flip(-1)]), both))
        return encoder.normalised(joined.reshape(2, -1, encoder.width).mean(0))
