"""Reference vectors recorded from published research code, and the rule that made the weights they were recorded with.

The folder is ``tests/parity/data``, or the one named by ``REIDCLIP_PARITY_DIR``, which may hold another set under the same file names.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_HALF = {"class_embedding", "positional_embedding", "cls_ctx", "clsctx", "dmctx", "cv_embed"}


def folder() -> Path:
    """Where the reference files lie."""
    return Path(os.environ.get("REIDCLIP_PARITY_DIR") or Path(__file__).parent / "data")


def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of ``<name>.npz``."""
    with np.load(folder() / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def load_json(name: str) -> Any:
    """Content of ``<name>.json``."""
    return json.loads((folder() / f"{name}.json").read_text(encoding="utf-8"))


def fill(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, Tensor]:
    """Weights by the fill rule: every tensor is made from its state-dict key, its shape and one seed."""
    return {key: fill_one(key, tuple(shape), seed) for key, shape in shapes.items()}


def fill_one(key: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """One tensor by the fill rule."""
    last = key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return torch.tensor(0, dtype=torch.int64)
    if key == "logit_scale":
        return torch.tensor(math.log(1 / 0.07), dtype=torch.float32)
    key_seed = (zlib.crc32(key.encode("utf-8")) ^ seed) & 0xFFFFFFFF
    x = np.asarray(np.random.RandomState(key_seed).standard_normal(shape))
    return torch.from_numpy(_scaled(x, key, last).astype(np.float32))


def _scaled(x: np.ndarray, key: str, last: str) -> np.ndarray:
    if last == "running_mean":
        return 0.1 * x
    if last == "running_var":
        return 1 + 0.1 * np.abs(x)
    if last in _HALF or key.endswith("token_embedding.weight"):
        return 0.5 * x
    if last in ("proj", "text_projection"):
        return x / math.sqrt(x.shape[0])
    if x.ndim == 1:
        return 0.1 * x if last.endswith("bias") else 1 + 0.1 * x
    return x / math.sqrt(math.prod(x.shape[1:]))
