"""What a person may say of a file of weights that the file does not say of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reidclip.errors import UserError

if TYPE_CHECKING:
    from reidclip.clip.trunk import Pooling


@dataclass(frozen=True)
class ImportOptions:
    """What a file of weights does not say of itself; None takes what the shapes allow, else what was published.

    Attributes:
        size: (height, width) of the input in pixels.
        stride: distance of a ViT's patches in pixels, or a ResNet's overall stride.
        neck: features "before" or "after" BatchNorm.
        sie_coefficient: factor of CLIP-ReID's camera embedding.
        pooling: of a ResNet-50's last map.
    """

    size: tuple[int, int] | None = None
    stride: int | None = None
    neck: Literal["before", "after"] | None = None
    sie_coefficient: float | None = None
    pooling: Pooling | None = None


def read_size(text: str) -> tuple[int, int]:
    """``"256x128"`` -> (256, 128), height and width in pixels.

    Raises:
        UserError: it is not of that form.
    """
    found = re.fullmatch(r"\s*(\d{1,4})\s*[xX,]\s*(\d{1,4})\s*", text)
    if found is None or int(found[1]) < 1 or int(found[2]) < 1:
        raise UserError(f"'{text}' is no input size.", "Write height x width in pixels: --size 256x128.")
    return int(found[1]), int(found[2])
