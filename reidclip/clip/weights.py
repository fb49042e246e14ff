"""Reads CLIP weights from a file into open_clip's key names, and says what they are by digest.

Foreign files are read with ``weights_only=True``: nothing in them is executed.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from reidclip.errors import UserError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_BARE_PICKLE = b"\x80"  # first byte of a pickle outside a zip file
_OF_CLIP = {"visual.proj", "visual.attnpool.c_proj.weight"}
_TIMM = "visual.trunk."
_NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size", "attn_mask"}  # constants that OpenAI's files carry along


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights of a file, floating point as float32, keys as open_clip names them.

    Accepts a state dict or a training checkpoint that holds one under ``state_dict``; the prefix ``module.`` and open_clip's newer
    ``text.`` are taken off.

    Raises:
        UserError: the file is missing, broken, an executable archive, or holds no CLIP.
    """
    tensors = _rename(read_tensors(path))
    if not (_OF_CLIP & set(tensors)) and not ("token_embedding.weight" in tensors and any(key.startswith(_TIMM) for key in tensors)):
        example = ", ".join(sorted(tensors)[:3]) or "nothing"
        remedy = "Give weights with keys such as visual.proj."
        if {"conv1.weight", "layer1.0.conv1.weight"} & set(tensors):
            remedy += f" A ResNet-50 of torchvision or timm is named resnet50:{path}."
        raise UserError(f"{path} holds no CLIP in OpenAI's or open_clip's naming (found {example}).", remedy)
    check_finite(tensors, path)
    return copied(tensors)


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating point as float32, all of it in own memory: a safetensors file is mapped, and whoever rewrote it would change the model."""
    return {key: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True) for key, value in tensors.items()}


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Weights of a training that failed are told before hours of work with them.

    Raises:
        UserError: a tensor holds NaN or infinity; names the file and the first.
    """
    broken = [key for key, value in tensors.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())]
    if broken:
        raise UserError(
            f"{path} holds {len(broken)} tensors that are not finite; the first is {broken[0]}.",
            "The training that wrote it failed: take earlier weights.",
        )


def digest(state: Mapping[str, Tensor], quick_gelu: bool) -> str:
    """SHA-256 over names, shapes, float32 values and the activation of a CLIP, as hex; the same for any file format and input size."""
    result = hashlib.sha256(f"quick_gelu={quick_gelu}\n".encode())
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        result.update(f"{key} {list(value.shape)} {value.dtype}\n".encode())
        result.update(value.flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return result.hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a file, whatever network they belong to; of a training checkpoint those under ``state_dict`` or ``model``.

    Raises:
        UserError: the file is missing, broken, or holds anything but tensors.
    """
    if not path.is_file():
        raise UserError(f"No weights at {path}.", "Check the path given as --clip.")
    remedy = "Get the file again."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about archives and pickle protocols; the errors below say what matters
            path.open("rb").close()  # safetensors calls a file without permission one that is not there
            loaded: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Change the file's permissions, or copy it.") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}.", remedy) from error
    except Exception as error:  # bytes that are no checkpoint make the unpickler raise almost anything
        if "TorchScript" in str(error):
            raise UserError(
                f"{path} is a TorchScript archive, which would run code when opened.",
                "Take the weights by name (ViT-B-16:openai) or convert them to safetensors.",
            ) from error
        code = re.search(r"(?:GLOBAL|Unsupported (?:global|class))\W+(?:GLOBAL\s+)?([\w.]+)", str(error))
        if code is not None or (isinstance(error, pickle.UnpicklingError) and _first_byte(path) == _BARE_PICKLE):
            raise UserError(
                f"{path} holds {code[1] if code else 'objects of Python'}, not only tensors; nothing of it was run.",
                "If you trust the file, save its state_dict as safetensors where it came from, and give that.",
            ) from error
        size = f"{path.stat().st_size:,} bytes"
        raise UserError(f"{path} is no PyTorch checkpoint, or is cut off or damaged ({size}).", remedy) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise UserError(f"{path} holds a {type(loaded).__name__} and no named weights.", "Give a state dict.")
    return {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}


def _first_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1)


def _rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in tensors.items():
        name = key.removeprefix("module.").removeprefix("text.")
        if name not in _NOT_WEIGHTS:
            renamed[name] = value.reshape(()) if name in ("logit_scale", "logit_bias") else value
    return renamed
