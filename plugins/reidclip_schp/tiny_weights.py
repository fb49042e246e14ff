"""Reads and writes schp-tiny weights: float16 safetensors whose metadata say how to build the network."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from reidclip.errors import UserError
from reidclip_schp.tiny_network import TinyParserNet

KIND = "schp-tiny"
FORMAT = 2
"""Version of the network that the file fills: 1 was an encoder-decoder with convolutions at half the input's size."""


def write_weights(path: Path, network: TinyParserNet, input_hw: tuple[int, int]) -> None:
    """Write a fused network (see `tiny_network.fuse`), every tensor in float16."""
    tensors = {name: value.detach().to(torch.float16).contiguous() for name, value in network.state_dict().items()}
    metadata = {
        "network": KIND,
        "format": str(FORMAT),
        "widths": json.dumps(network.widths),
        "blocks": json.dumps(network.blocks),
        "labels": str(network.labels),
        "input": json.dumps(input_hw),
    }
    save_file(tensors, str(path), metadata=metadata)


def holds_tiny(path: Path) -> bool:
    """Whether a file says that it holds schp-tiny; False for anything else, unreadable files included."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return bool((file.metadata() or {}).get("network") == KIND)
    except (SafetensorError, OSError):
        return False


def read_weights(path: Path) -> tuple[TinyParserNet, tuple[int, int], str]:
    """The network in float32 and evaluation mode, the (height, width) it was trained at, and the file's short SHA-256.

    Raises:
        UserError: not a safetensors file, not schp-tiny, of another format, or tensors that do not fit the network.
    """
    remedy = "Leave --weights out to use the bundled schp-tiny, or train one with examples/train_schp_tiny."
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}.", remedy) from error
    if metadata.get("network") != KIND:
        raise UserError(f"{path} does not hold schp-tiny weights.", remedy)
    if metadata.get("format", "1") != str(FORMAT):
        raise UserError(f"{path} holds schp-tiny weights of format {metadata.get('format', '1')}; this version reads {FORMAT}.", remedy)
    try:
        widths, blocks, labels = _three(metadata["widths"]), _three(metadata["blocks"]), int(metadata["labels"])
        height, width = json.loads(metadata["input"])
        network = TinyParserNet(widths, blocks, labels, fused=True)
        network.load_state_dict(tensors)
        broken = next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None)
        if broken is not None:
            raise ValueError(f"numbers that are not finite, in {broken}")
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"The weights in {path} do not fit the network: {str(error).splitlines()[0]}.", remedy) from error
    return network.eval(), (int(height), int(width)), hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _three(text: str) -> tuple[int, int, int]:
    a, b, c = json.loads(text)
    return int(a), int(b), int(c)
