"""Remembers what a frozen text encoder makes of the words that all prompts begin with, as long as that stays true."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from reidclip.clip.blocks import KeyValues
from reidclip.clip.text_encoder import TextEncoder

_Key: TypeAlias = tuple[object, ...]


class PrefixCache:
    """Keys and values of one prefix, computed again when a weight, a device or the precision changed.

    A weight counts as changed when it was replaced, moved, cast or written to in place. Writing through ``.data`` leaves no trace in
    torch: who does that calls `clear`.
    """

    def __init__(self) -> None:
        self._key: _Key | None = None
        self._prefix: tuple[KeyValues, ...] = ()

    def get(self, encoder: TextEncoder, embeddings: Tensor) -> tuple[KeyValues, ...]:
        """``encoder.encode_prefix(embeddings)``, from memory when nothing that it depends on has changed.

        Args:
            encoder: a frozen text encoder (``encoder.takes_prefix``).
            embeddings: (P, width) token embeddings of the prefix.
        """
        tensors = (embeddings, *encoder.parameters())
        key = (embeddings.shape, *_precision(embeddings), *(fact for tensor in tensors for fact in _state(tensor)))
        if key != self._key:
            self._prefix, self._key = encoder.encode_prefix(embeddings), key
        return self._prefix

    def clear(self) -> None:
        """Forget."""
        self._key, self._prefix = None, ()

    def __deepcopy__(self, memo: dict[int, object]) -> PrefixCache:
        """A copy of the owner may be moved or changed: it starts with nothing remembered."""
        return PrefixCache()

    def __getstate__(self) -> dict[str, object]:
        """Nothing of it is worth writing."""
        return {"_key": None, "_prefix": ()}


def _state(tensor: Tensor) -> _Key:
    """Changes whenever the tensor's values may have: its memory, the count of writes to it, its place and type."""
    return tensor.data_ptr(), None if tensor.is_inference() else tensor._version, tensor.device, tensor.dtype


def _precision(tensor: Tensor) -> _Key:
    """Under autocast keys and values are rounded."""
    kind = tensor.device.type
    return torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
