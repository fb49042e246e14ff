"""Reads a file of weights without running anything in it, and says what a file is that holds none."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reidclip.errors import UserError

CONVERT = "If you trust it, open it where it came from and save its state dict: torch.save(model.state_dict(), 'weights.pth')."
AGAIN = "Get the file again and compare its size and checksum with those of its source."
_NESTED = ("model_state_dict", "state_dict", "model")  # where training programs keep the weights, beside epochs and optimisers
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"version https://git-lfs", "a Git LFS pointer: the text that stands for a large file until `git lfs pull` fetches it"),
    (b"<", "a web page: a download that failed"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"\x93NUMPY", "a numpy array"),
    (b"{", "JSON"),
)


@dataclass(frozen=True)
class Content:
    """What a file of weights holds.

    Attributes:
        path: the file.
        tensors: the weights by name, as they are stored, possibly mapped into memory.
        beside: everything, as the file nests it, where the weights lie inside a training checkpoint; else empty.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    beside: Mapping[str, Any]


def read_content(path: Path) -> Content:
    """Weights of a file; nothing in the file is executed.

    Takes safetensors, and what ``torch.save`` wrote of a state dict, bare or inside a training checkpoint (``state_dict``,
    ``model_state_dict``, ``model``). The prefix ``module.`` of training on several GPUs is taken off.

    Raises:
        UserError: no file, no weights, or objects that would have to be run; says what it looks like.
    """
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no file"
        raise UserError(f"There is {kind} at {path}.", "Name the file with the weights.")
    content = _load_safetensors(path) if _is_safetensors(path) else _load(path)
    found = next((content[key] for key in _NESTED if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)), content)
    if not isinstance(found, Mapping):
        raise UserError(f"{path} holds a {type(found).__name__} and no named weights.", CONVERT)
    tensors = {str(key).removeprefix("module."): value for key, value in found.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{path} holds no weights (keys: {_shown(found)}).", "Name the file with the weights.")
    return Content(path, tensors, content if found is not content else {})


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    return path.suffix == ".safetensors" or (len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 2**27)


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no readable safetensors file, or is damaged: {error}.", AGAIN) from error
    return tensors


def _load(path: Path) -> Any:
    what = _not_torch(path)
    if what is not None:
        raise UserError(f"{path} is {what}, not a file of weights.", AGAIN)
    zipped = zipfile.is_zipfile(path)
    if zipped and _is_torchscript(path):
        raise UserError(
            f"{path} is a TorchScript archive (OpenAI publishes CLIP so), which can only be opened by running the code in it.",
            "Take the same weights as plain tensors: `reidclip finetune --clip ViT-B-16:openai` and `evaluate --zero-shot --clip "
            "ViT-B-16:openai` fetch them by name, or download open_clip_model.safetensors from huggingface.co/timm and import that.",
        )
    try:
        with warnings.catch_warnings(), _plain_numbers():
            warnings.simplefilter("ignore")  # torch's remarks on old pickles; what matters ends as an error
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)
    except Exception as error:  # bytes that are no checkpoint make the unpickler raise almost anything
        raise _refused(path, error) from error


def _plain_numbers() -> AbstractContextManager[Any]:
    """Numpy's numbers may stand beside the weights (an accuracy, in Simple-CCReID's files): building one runs no code of the file."""
    multiarray = getattr(np, "_core", None) or np.core
    scalar = multiarray.multiarray.scalar
    types = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4")]
    allowed = [np.dtype, *types, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    safe_globals = getattr(torch.serialization, "safe_globals", None)
    return nullcontext() if safe_globals is None else safe_globals(allowed)


def _refused(path: Path, error: Exception) -> UserError:
    found = re.search(r"(?:GLOBAL|[Uu]nsupported (?:global|class))\W+(?:GLOBAL\s+)?([\w.]+)", str(error))
    if found is not None or (isinstance(error, pickle.UnpicklingError) and _is_pickle(path)):
        what = f"an object of Python ({found[1]})" if found else "objects of Python"
        return UserError(f"{path} holds {what} and not only weights; nothing in it was run.", CONVERT)
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(f"{path} is not a file of weights, or is cut off or damaged ({path.stat().st_size:,} bytes): {reason[:200]}", AGAIN)


def _not_torch(path: Path) -> str | None:
    """What the file is, told by its first bytes, when it is something well known that holds no weights for us."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "empty"
    known = next((what for start, what in _STARTS if head.lstrip().startswith(start) or head.startswith(start)), None)
    if known is not None:
        return known
    if head[257:262] == b"ustar":
        return "a tar archive"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return None if any(name.endswith("data.pkl") for name in names) else f"a zip archive of other files ({', '.join(names[:2])})"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "a text"
    return None


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(2)
    return zipfile.is_zipfile(path) or (len(head) == 2 and head[0] == 0x80 and head[1] <= pickle.HIGHEST_PROTOCOL)


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") or "/code/" in name for name in archive.namelist())


def _shown(content: Mapping[Any, Any]) -> str:
    return ", ".join(str(key) for key in list(content)[:3]) or "none"
