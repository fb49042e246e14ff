"""CLIP's byte-pair tokenizer, whole or with fewer merges for small models.

A vocabulary of V < 49,408 keeps CLIP's first V - 514 merges (512 byte symbols and two marks come on top): every text can still be
written, rare words in more pieces. So a small text tower needs no vocabulary file, only its ``vocab_size``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import open_clip
from torch import Tensor

from reidclip.errors import UserError

_BYTE_SYMBOLS = 512  # 256 bytes, each inside a word and at its end
_FULL = 49408


class Tokenizer(Protocol):
    """Texts to token ids.

    A tokenizer may also have ``reads_padding``: True where its text tower does (`reidclip.clip.text_encoder`), so that templates keep
    what stands after the end.
    """

    context_length: int | None

    def __call__(self, texts: str | list[str], context_length: int | None = None) -> Tensor:
        """One text or several -> (N, context_length) int64: start, text, end, padding; not every tokenizer has both marks."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a text without start and end."""
        ...


class ClipTokenizer(open_clip.SimpleTokenizer):  # type: ignore[misc]
    """open_clip's own, which knows its tower."""

    reads_padding: bool = False


def make_tokenizer(text_cfg: Mapping[str, Any], folder: Path | None = None) -> Tokenizer:
    """The tokenizer of a text tower.

    Args:
        text_cfg: open_clip's; ``hf_tokenizer_name`` asks for Hugging Face's, else CLIP's with ``vocab_size`` and ``context_length``.
        folder: where Hugging Face's tokenizer may lie on this machine.

    Raises:
        UserError: a vocabulary that CLIP's tokenizer cannot fill. Hugging Face's is read with the first text, see `open_tokenizer`.
    """
    reads_padding = bool(text_cfg.get("no_causal_mask") or text_cfg.get("embed_cls") or text_cfg.get("pool_type") == "last")
    if text_cfg.get("hf_tokenizer_name"):
        from reidclip.clip.hf_tokenizer import open_tokenizer

        return open_tokenizer(text_cfg, folder, reads_padding)
    size = int(text_cfg.get("vocab_size", _FULL))
    if not _BYTE_SYMBOLS + 2 <= size <= _FULL and not text_cfg.get("embed_cls"):
        raise UserError(f"A vocabulary of {size} tokens is not CLIP's.", f"vocab_size may be {_BYTE_SYMBOLS + 2} to {_FULL}.")
    tokenizer = ClipTokenizer(context_length=int(text_cfg.get("context_length", 77)))
    tokenizer.reads_padding = reads_padding
    if size < _FULL:
        _keep_first_merges(tokenizer, size - _BYTE_SYMBOLS - 2)
    result: Tokenizer = tokenizer
    return result


def _keep_first_merges(tokenizer: Any, merges: int) -> None:
    marks: Sequence[str] = [tokenizer.decoder[i] for i in tokenizer.all_special_ids]
    symbols = [tokenizer.decoder[i] for i in range(_BYTE_SYMBOLS + merges)]
    tokenizer.encoder = {symbol: i for i, symbol in enumerate([*symbols, *marks])}
    tokenizer.decoder = {i: symbol for symbol, i in tokenizer.encoder.items()}
    tokenizer.bpe_ranks = {pair: rank for pair, rank in tokenizer.bpe_ranks.items() if rank < merges}
    tokenizer.cache = {mark: mark for mark in marks}
    tokenizer.vocab_size = len(tokenizer.encoder)
    tokenizer.all_special_ids = [tokenizer.encoder[mark] for mark in marks]
    tokenizer.sot_token_id, tokenizer.eot_token_id = tokenizer.all_special_ids
