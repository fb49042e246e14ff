"""Reads SCHP checkpoints: the authors' .pth files, or a safetensors copy of the same state dict. Nothing in a file is ever run."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reidclip.data.label_sets import ATR, LIP, PASCAL, LabelSet
from reidclip.errors import UserError
from reidclip_schp.network import SchpNetwork, key_shapes

PREFIX = "module."
LAST = "fushion.3.weight"
PICKLE = b"\x80"
"""First byte of a bare pickle; a checkpoint in today's format is a zip file."""
INPUTS: Mapping[int, tuple[LabelSet, tuple[int, int]]] = {
    len(LIP.labels): (LIP, (473, 473)),
    len(ATR.labels): (ATR, (512, 512)),
    len(PASCAL.labels): (PASCAL, (512, 512)),
}
"""Number of labels -> label set and the input size (height, width) that the checkpoint was trained at."""

REMEDY = (
    "Take a checkpoint of GoGoDuck912/Self-Correction-Human-Parsing (LIP, ATR or Pascal-Person-Part; its README says where they are), "
    "or leave --weights out to use schp-tiny."
)


@dataclass(frozen=True)
class Checkpoint:
    """A network with its weights, in evaluation mode on the CPU, and what it was trained for.

    Attributes:
        network: not folded.
        label_set: LIP, ATR or Pascal-Person-Part.
        input_hw: (height, width) that it was trained at.
        digest: short SHA-256 of the file.
    """

    network: SchpNetwork
    label_set: LabelSet
    input_hw: tuple[int, int]
    digest: str


def read_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint; the label set is recognised by the shape of the last convolution.

    Raises:
        UserError: no checkpoint, a damaged one, one with objects besides tensors, or one of another network; names the file.
    """
    state = _state(_content(path), path)
    label_set, input_hw = _recognise(state, path)
    _check(state, key_shapes(len(label_set.labels)), path)
    with torch.device("meta"):
        network = SchpNetwork(len(label_set.labels))
    network.load_state_dict({key: value.detach().float().contiguous() for key, value in state.items()}, assign=True)
    return Checkpoint(network.eval(), label_set, input_hw, _digest(path))


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            return load_file(str(path))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} is not a readable safetensors file: {error}.", REMEDY) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on odd pickles; what matters ends as an error
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}.", "Check the file's permissions.") from error
    except Exception as error:  # bytes that are no checkpoint make the unpickler raise almost anything
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    found = re.search(r"(?:GLOBAL|Unsupported (?:global|class))\W+(?:GLOBAL\s+)?([\w.]+)", str(error))
    with path.open("rb") as file:
        is_pickle = file.read(1) == PICKLE
    if found is not None or (is_pickle and isinstance(error, pickle.UnpicklingError)):
        what = "objects of Python" if found is None else found[1]
        return UserError(
            f"{path} holds {what}, not only tensors; nothing of it was run.",
            "If you trust the file, save its state_dict as safetensors where it came from, and give that.",
        )
    size = f"{path.stat().st_size:,} bytes; SCHP's have about 267 million"
    return UserError(f"{path} is not a PyTorch checkpoint, or is cut off or damaged ({size}).", REMEDY)


def _state(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in the file, without the prefix that training on several GPUs left."""
    inner = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(inner, Mapping) or not all(isinstance(key, str) and _is_plain(value) for key, value in inner.items()):
        raise UserError(f"{path} holds no state dict of tensors.", REMEDY)
    return {key.removeprefix(PREFIX): value for key, value in inner.items()}


def _is_plain(value: Any) -> bool:
    """An ordinary tensor of real numbers, not a sparse, quantised or empty shell of one."""
    if not isinstance(value, Tensor) or value.is_quantized or value.is_complex():
        return False
    return value.layout == torch.strided and value.device.type == "cpu"


def _recognise(state: Mapping[str, Tensor], path: Path) -> tuple[LabelSet, tuple[int, int]]:
    last = state.get(LAST)
    if last is None:
        shown = ", ".join(list(state)[:2]) or "nothing"
        raise UserError(f"{path} holds another network than SCHP: there is no '{LAST}' in it, but {shown}.", REMEDY)
    count = last.shape[0] if last.ndim else 0
    if count not in INPUTS:
        raise UserError(f"{path} tells {count} labels apart, not 20 (LIP), 18 (ATR) or 7 (Pascal-Person-Part).", REMEDY)
    return INPUTS[count]


def _check(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Every key with its shape, and no other."""
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    wrong = [f"{key} {shapes[key]}, not {shape}" for key, shape in expected.items() if shapes.get(key, shape) != shape]
    faults = [_listed(*fault) for fault in (("missing", missing), ("unknown", unknown), ("of another shape", wrong)) if fault[1]]
    if faults:
        raise UserError(f"{path} does not fit SCHP's network: {'; '.join(faults)}.", REMEDY)
    broken = next((key for key, value in state.items() if not torch.isfinite(value).all()), None)
    if broken is not None:
        raise UserError(f"{path} holds numbers that are not finite, in {broken}.", REMEDY)


def _listed(word: str, keys: list[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{word}: {', '.join(keys[:3])}{more}"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]
