"""Tokenizers that open_clip takes from Hugging Face (SigLIP, CLIPA, the worldwide models), read from a folder or the hub's cache.

A folder holds ``tokenizer.json`` (or what else `transformers` reads) as the model's page on the hub offers it. It is looked for beside the
weights or configuration, as ``tokenizer/`` or in the same folder, then in the hub's cache; then the hub is asked.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
from open_clip.tokenizer import HFTokenizer
from torch import Tensor

from reidclip.errors import UserError

FILES = ("tokenizer.json", "spiece.model", "sentencepiece.bpe.model", "vocab.txt")
_FOLDER = "tokenizer"
_HUB_SECONDS = 10.0


class HubTokenizer:
    """open_clip's wrapper around a tokenizer of `transformers`, with what templates need; read when the first text comes.

    Methods without text never need the files.

    Args:
        read: gives the wrapper; called once.

    Attributes:
        context_length: tokens of the text tower.
        reads_padding: whether the tower does.
    """

    def __init__(self, read: Callable[[], Any], context_length: int, reads_padding: bool) -> None:
        self._read = read
        self.context_length: int | None = context_length
        self.reads_padding = reads_padding

    @cached_property
    def _wrapped(self) -> Any:
        return self._read()

    def __call__(self, texts: str | list[str], context_length: int | None = None) -> Tensor:
        """See `reidclip.clip.tokenizer.Tokenizer`."""
        ids: Tensor = self._wrapped(texts, context_length or self.context_length)
        return ids

    def encode(self, text: str) -> list[int]:
        """See `reidclip.clip.tokenizer.Tokenizer`; the text is cleaned as the tower's texts are."""
        return self._ids(text, marks=False)

    def encode_marked(self, text: str) -> list[int]:
        """Token ids with the marks that this tokenizer sets at start and end, not cut."""
        return self._ids(text, marks=True)

    def _ids(self, text: str, marks: bool) -> list[int]:
        return _token_ids(self._wrapped, text, marks)


def open_tokenizer(text_cfg: Mapping[str, Any], folder: Path | None, reads_padding: bool) -> HubTokenizer:
    """The tokenizer of a text configuration with ``hf_tokenizer_name``; not read before the first text.

    Its first use raises a UserError where `transformers` is not installed, or the tokenizer is not on this machine and cannot be fetched,
    or is broken.
    """
    length = int(text_cfg.get("context_length", 77))
    return HubTokenizer(partial(_opened, dict(text_cfg), folder, length), length, reads_padding)


def _opened(text_cfg: Mapping[str, Any], folder: Path | None, length: int) -> Any:
    name = str(text_cfg["hf_tokenizer_name"])
    require_transformers(f"The tokenizer {name} of this model", "tokenizers")
    where = folder_of(folder) or _cached(name) or _fetched(name, folder)
    try:
        wrapped = HFTokenizer(str(where), context_length=length, **(text_cfg.get("tokenizer_kwargs") or {}))
        largest = max(wrapped("A photo of a person.", length).max().item(), *_token_ids(wrapped, "A photo of a person.", marks=False))
    except Exception as error:  # transformers and its readers each raise their own kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"The tokenizer in {where} cannot be read: {reason}.", f"Get it again: {_page(name)}.") from error
    if largest >= int(text_cfg.get("vocab_size", largest + 1)):
        raise UserError(
            f"The tokenizer in {where} writes token {largest}, but the text tower knows {text_cfg['vocab_size']}.",
            f"Put this model's own there: {_page(name)}.",
        )
    return wrapped


def _token_ids(wrapped: Any, text: str, marks: bool) -> list[int]:
    ids: list[int] = wrapped.tokenizer(wrapped.clean_fn(text), add_special_tokens=marks)["input_ids"]
    return ids


def require_transformers(what: str, extra: str) -> None:
    """Check that `transformers` is there.

    Raises:
        UserError: it is not; ``what`` begins the sentence, ``extra`` is what pip is asked for.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError(f"{what} needs transformers, which is not installed.", f"pip install 'reidclip[{extra}]'")


def folder_of(folder: Path | None) -> Path | None:
    """The folder with a tokenizer's files: the one given, or ``tokenizer`` in it; None when neither has any."""
    candidates = () if folder is None else (folder / _FOLDER, folder)
    return next((found for found in candidates if any((found / file).is_file() for file in FILES)), None)


def _cached(name: str) -> Path | None:
    """The folder of the hub's cache with the tokenizer, without asking the network."""
    found = (huggingface_hub.try_to_load_from_cache(name, file) for file in FILES)
    return next((Path(path).parent for path in found if isinstance(path, str)), None)


def _fetched(name: str, folder: Path | None) -> str:
    """The name itself when the hub answers: `transformers` then fetches what it needs."""
    try:
        huggingface_hub.get_session().head(f"{huggingface_hub.constants.ENDPOINT}/{name}", timeout=_HUB_SECONDS)
    except Exception as error:  # the hub's client has several kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0].rstrip(".")
        files = f"Download tokenizer.json and tokenizer_config.json from {_page(name)} where there is a network"
        if folder is None:  # a model by its name: there is no file that they could lie beside
            remedy = f"{files}, as `hf download {name}` does, and copy the hub's cache to {huggingface_hub.constants.HF_HUB_CACHE}."
        else:
            remedy = f"{files}, and put them into {folder / _FOLDER}."
        raise UserError(f"The tokenizer {name} is not on this machine and cannot be fetched ({reason}).", remedy) from error
    return name


def _page(name: str) -> str:
    return f"https://huggingface.co/{name}/tree/main"
