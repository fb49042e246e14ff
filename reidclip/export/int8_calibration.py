"""Training pictures that ranges of activations are measured on."""

from __future__ import annotations

import contextlib
import io
import logging
import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from reidclip.errors import UserError
from reidclip.export.network import CAMERA, PICTURES

_BATCH = 8


class Pictures:
    """Some pictures of those at hand, drawn without repetition: the same ones for the same seed.

    Args:
        source: gives normalised batches (B, 3, H, W) float32.
        count: how many are drawn, at most.
        seed: of the draw.

    Raises:
        UserError: the source gives none.
    """

    def __init__(self, source: Callable[[], Iterator[Tensor]], count: int, seed: int) -> None:
        rng, kept, seen = random.Random(seed), list[np.ndarray](), 0
        for batch in source():  # Vitter's algorithm R: how many there are is not known before
            for picture in batch.numpy():
                place = seen if seen < count else rng.randint(0, seen)
                seen += 1
                if place < len(kept):
                    kept[place] = picture
                elif place < count:
                    kept.append(picture)
        if not kept:
            raise UserError("The data has no training pictures to measure ranges on.", "Name other data with --data.")
        self.drawn = np.stack(kept)


@contextmanager
def measured_on(pictures: Pictures, inputs: Collection[str]) -> Iterator[Any]:
    """Within, what ONNX Runtime reads batches of the pictures from; its remarks on how a model might be prepared are kept back.

    Args:
        pictures: what is read.
        inputs: names of the graph's inputs; a camera is always the first one.
    """
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # of a package without types; it checks for its own class
        def __init__(self) -> None:
            self._at = 0

        def get_next(self) -> dict[str, np.ndarray] | None:
            part = pictures.drawn[self._at : self._at + _BATCH]
            self._at += _BATCH
            if not len(part):
                return None
            return {PICTURES: part, **({CAMERA: np.zeros(len(part), np.int64)} if CAMERA in inputs else {})}

    with quiet():
        yield Reader()


@contextmanager
def quiet() -> Iterator[None]:
    """Within, what ONNX Runtime's quantisation prints, and logs at the root, is kept back."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
