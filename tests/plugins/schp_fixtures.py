"""A schp-tiny of a few thousand random parameters: quick, wrong, and sure of itself."""

from __future__ import annotations

from pathlib import Path

import torch

from reidclip_schp.tiny_network import TinyParserNet, fuse
from reidclip_schp.tiny_weights import write_weights

INPUT = (64, 32)


def random_network(seed: int = 0, labels: int = 20) -> TinyParserNet:
    """Untrained, but with running statistics that are not those of a new network."""
    torch.manual_seed(seed)
    network = TinyParserNet((6, 8, 10), (1, 1, 1), labels)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, *INPUT) * 2 + 0.5)
        network.score.weight.mul_(8)
        network.score.bias.zero_()
    return network.eval()


def tiny_weights(folder: Path, seed: int = 0, labels: int = 20) -> Path:
    """Weights file of such a network."""
    path = folder / f"random-{seed}-{labels}.safetensors"
    write_weights(path, fuse(random_network(seed, labels)), INPUT)
    return path


def write_filled_checkpoint(path: Path) -> Path:
    """A LIP checkpoint in the authors' format, about 267 MB, with the weights that the recorded outputs were made with."""
    from reidclip_schp.network import key_shapes
    from tests.parity.fixtures import fill, load

    weights = fill(key_shapes(20), int(load("schp_net")["fill_seed"]))
    torch.save({"state_dict": {f"module.{key}": value for key, value in weights.items()}}, path)
    return path


def flat_state(labels: int = 20) -> dict[str, torch.Tensor]:
    """A state dict in the authors' format that takes little room on disk: every tensor holds one number, repeated."""
    from reidclip_schp.network import key_shapes

    return {f"module.{key}": torch.full((1,), 0.01).expand(shape) for key, shape in key_shapes(labels).items()}
