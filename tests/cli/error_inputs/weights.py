"""Files that are given as weights: no weights at all, those of another network, and pickles with code in them."""

from __future__ import annotations

import io
import json
import pickle
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

from tests.cli.error_inputs.place import Place


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.sentinel), "w")


def file(place: Place, argument: str) -> Path:
    """``file:KIND:NAME``: a file of that name with the content that `_FILES` says."""
    kind, _, name = argument.partition(":")
    path = place.root / name
    path.write_bytes(_FILES[kind](place))
    return path


def spoilt(place: Place, argument: str) -> Path:
    """``spoilt:KIND:NAME``: weights that were whole, changed as `_CHANGES` says."""
    kind, _, name = argument.partition(":")
    path = place.root / name
    _CHANGES[kind](path)
    return path


def weights_folder(place: Place, argument: str) -> Path:
    """A folder given where a file is wanted."""
    path = place.root / argument
    path.mkdir()
    return path


def broken_configuration(place: Place, argument: str) -> Path:
    """The JSON beside the small CLIP: ``broken_configuration:KIND``."""
    path = place.root / "clip.json"
    path.write_text({"text": "{", "list": "[]", "empty": "{}", "other": '{"hidden_size": 768}'}[argument])
    return path


def pickled(value: object, protocol: int = 2) -> bytes:
    """A bare pickle."""
    return pickle.dumps(value, protocol)


def saved(value: object, **options: Any) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _script() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still what OpenAI publishes its CLIPs as
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def _long_header() -> bytes:
    """A safetensors file whose header claims a terabyte."""
    return struct.pack("<Q", 10**12) + b"{}"


def _outside() -> bytes:
    """A safetensors file whose tensor lies behind the file's end."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [1000, 1000], "data_offsets": [0, 4_000_000]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16)


_FILES: dict[str, Callable[[Place], bytes]] = {
    "empty": lambda place: b"",
    "text": lambda place: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 598516990\n",
    "web_page": lambda place: b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "zip": lambda place: b"PK\x05\x06" + bytes(18),
    "long_header": lambda place: _long_header(),
    "outside": lambda place: _outside(),
    "other_network": lambda place: save({"layer1.0.conv1.weight": torch.zeros(4, 4), "fc.weight": torch.zeros(2, 4)}),
    "no_tensors": lambda place: saved({"epoch": 3}),
    "a_list": lambda place: saved([torch.zeros(2)]),
    "a_tensor": lambda place: saved(torch.zeros(2)),
    "other_checkpoint": lambda place: saved({"state_dict": {"module.fc.weight": torch.zeros(2, 4)}}),
    "cut_off_checkpoint": lambda place: saved({"state_dict": {"module.fc.weight": torch.zeros(200, 40)}})[:3000],
    "schp_other_labels": lambda place: saved({"state_dict": {"module.fushion.3.weight": torch.zeros(9, 256, 1, 1)}}),
    "schp_last_layer": lambda place: saved({"state_dict": {"module.fushion.3.weight": torch.zeros(20, 256, 1, 1)}}),
    "schp_last_layer_safe": lambda place: save({"module.fushion.3.weight": torch.zeros(20, 256, 1, 1)}),
    "script": lambda place: _script(),
    "pickle": lambda place: pickled({"state_dict": Payload(place.sentinel)}),
    "pickle_in_zip": lambda place: saved({"state_dict": Payload(place.sentinel)}),
    "pickle_old_format": lambda place: saved({"state_dict": Payload(place.sentinel)}, _use_new_zipfile_serialization=False),
    "pickle_beside_weights": lambda place: saved({"visual.proj": torch.zeros(4, 4), "extra": Payload(place.sentinel)}),
}


def _rewrite(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        with safe_open(path, framework="pt") as whole:
            metadata = whole.metadata()
        tensors = load_file(path)
        change(tensors)
        path.unlink()
        save_file(tensors, path, metadata=metadata)

    return rewrite


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _nan(tensors: dict[str, torch.Tensor]) -> None:
    for value in tensors.values():
        if value.is_floating_point():
            value.view(-1)[0] = float("nan")


def _drop_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors.pop(sorted(tensors)[-1])


def _widen_one(tensors: dict[str, torch.Tensor]) -> None:
    name = next(n for n in sorted(tensors) if n.endswith("weight"))
    tensors[name] = torch.zeros(3, 5)


_CHANGES: dict[str, Callable[[Path], None]] = {
    "cut_off": _cut,
    "nan": _rewrite(_nan),
    "tensor_missing": _rewrite(_drop_one),
    "wrong_shape": _rewrite(_widen_one),
}

BUILDERS = (file, spoilt, weights_folder, broken_configuration)
