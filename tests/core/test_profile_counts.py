"""Counts of `reidclip profile` against counts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reidclip.clip.heads import ReidHeads
from reidclip.clip.image_encoder import make_image_encoder
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.trunk import trunk_config
from reidclip.interfaces import ParamGroup, Update
from reidclip.profiling.count import count_flops, count_parameters
from reidclip.profiling.memory import peak_bytes_cpu
from reidclip.profiling.speed import images_per_second, prepare
from reidclip.train.parameters import parameters_in_training
from tests.tiny_clip import TINY_RESNET, TINY_VIT, tiny_clip


def vit_flops(grid: tuple[int, int], patch: int, width: int, layers: int, joint: int) -> int:
    """Multiply-adds, twice: patches, per block four projections, two products of attention and an MLP of 4 widths; the final block's
    queries, output and MLP at the class token alone."""
    cells = grid[0] * grid[1]
    tokens = cells + 1
    embed = cells * 3 * patch * patch * width
    block = tokens * width * width * (4 + 8) + 2 * tokens * tokens * width
    final = width * width * (2 * tokens + 2 + 8) + 2 * tokens * width
    return 2 * (embed + (layers - 1) * block + final + width * joint)


def convolutions(tower: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-adds, twice, of a network's convolutions, from the shapes that they see."""
    total = 0

    def seen(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += 2 * output[0].numel() * module.weight[0].numel()

    for module in tower.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(seen)
    with torch.no_grad():
        tower(torch.zeros(1, 3, *size))
    return total


@pytest.mark.parametrize(("stride", "grid"), [(8, (4, 2)), (4, (7, 3))])
def test_a_small_vit(stride: int, grid: tuple[int, int]) -> None:
    encoder = InferenceEncoder(tiny_clip(TINY_VIT, stride=stride).image_encoder).eval()
    assert count_flops(encoder) == vit_flops(grid, 8, 16, 3, 12)


def test_vit_b_16_as_papers_use_it() -> None:
    with torch.device("meta"):
        config = load_clip_config("random:ViT-B-16")
        encoder = InferenceEncoder(make_image_encoder(config)).eval()
    flops = count_flops(encoder)
    assert flops == vit_flops((16, 8), 16, 768, 12, 512)
    assert flops / 2e9 == pytest.approx(10.4, abs=0.2)  # GMACs
    # 86.2 M as open_clip tells for 197 positions; 129 here
    assert count_parameters([encoder]) == 86_192_640 - (197 - 129) * 768


def load_clip_config(spec: str) -> Any:
    from reidclip.clip.architecture import encoder_config
    from reidclip.clip.sources import find

    return encoder_config(find(spec).model, (256, 128))


def test_a_small_clip_resnet() -> None:
    tower = tiny_clip(TINY_RESNET, image_size=(64, 32)).image_encoder
    cells, width = 4 * 2, tower.pooled_width
    pool = 2 * (width * width * (1 + 2 * (cells + 1)) + 2 * (cells + 1) * width + width * tower.joint_width)
    assert count_flops(InferenceEncoder(tower).eval()) == convolutions(tower, (64, 32)) + pool


def test_the_trunk() -> None:
    with torch.no_grad():
        tower = make_image_encoder(trunk_config((64, 32))).eval()
    encoder = InferenceEncoder(tower, InferenceOptions(flip=True))
    assert count_parameters([encoder]) == 23_508_032  # torchvision's 25,557,032 without its classifier of 2,049,000
    assert count_flops(encoder) == 2 * convolutions(tower, (64, 32))  # both mirror images


def test_bottlenecks_of_features_behind_them_count() -> None:
    tower = tiny_clip().image_encoder
    heads = ReidHeads(tower.pooled_width, tower.joint_width, 99)
    plain = count_parameters([InferenceEncoder(tower)])
    after = InferenceEncoder(tower, InferenceOptions(neck="after"), heads)
    assert count_parameters([after]) - plain == 2 * (16 + 12)  # weights and shifts; the 99 classes are not part of it
    assert count_parameters([tower, tower]) == plain


class Stage:
    """A stage that trains one head, twice over, and holds the rest."""

    def __init__(self, module: nn.Module, trained: nn.Module) -> None:
        self.module = module
        group = ParamGroup("heads", list(trained.named_parameters()), 1e-3)
        self.updates = [Update(name, [group], lambda epoch: 1.0, lambda batch, outputs: {}) for name in ("one", "two")]


def test_parameters_in_training() -> None:
    clip = tiny_clip()
    text, tower = count_parameters([clip.text_encoder]), count_parameters([clip.image_encoder])
    head = nn.Linear(16, 5)
    own: Any = Stage(nn.ModuleList([head, make_image_encoder(clip.image_encoder.config)]), head)
    assert parameters_in_training([own], clip, reads_text=False) == {"trained": 85, "frozen": tower}
    assert parameters_in_training([own], clip, reads_text=True) == {"trained": 85, "frozen": tower + text}
    alone: Any = Stage(head, head)
    assert parameters_in_training([alone, own], clip, reads_text=False) == {"trained": 85, "frozen": tower}
    assert parameters_in_training([alone], clip, reads_text=True) == {"trained": 85, "frozen": tower + text}


def test_speed_and_memory(tmp_path: Path) -> None:
    encoder = prepare(InferenceEncoder(tiny_clip().image_encoder))
    assert images_per_second(encoder, batch_size=2, repeats=3) > 0
    encoder.save(tmp_path)
    pictures = 2048 * 3 * 32 * 16 * 4  # bytes: 12.6 MB
    assert pictures < peak_bytes_cpu(tmp_path, 2048, 1, "fp32") < 20 * pictures  # of a process of its own: python and torch do not count
