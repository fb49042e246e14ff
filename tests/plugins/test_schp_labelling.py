"""The form of SCHP's network that label maps are made with: the function of the published form, and what bfloat16 leaves unrounded."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from reidclip_schp.abn import ActivatedBatchNorm
from reidclip_schp.backbone import Bottleneck
from reidclip_schp.context import Context
from reidclip_schp.fold import fold
from reidclip_schp.labelling import joined, residual
from reidclip_schp.network import PyramidPooling, to_size_of, unit


def filled(module: nn.Module) -> nn.Module:
    """In evaluation mode, with normalisations that do something."""
    torch.manual_seed(5)
    for norm in module.modules():
        if isinstance(norm, ActivatedBatchNorm):
            for tensor in (norm.weight, norm.bias, norm.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(norm.running_var, 0.2, 2)
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(6, 6), (13, 9), (4, 17), (1, 1), (1, 30)])
def test_context_without_large_maps(size: tuple[int, int]) -> None:
    pyramid = filled(PyramidPooling(6, 5))
    x = torch.randn(2, 6, *size)
    context = Context(fold(copy.deepcopy(pyramid)))
    expected = pyramid(x)
    assert expected.std() > 0.1
    torch.testing.assert_close(context(x), expected, rtol=1e-4, atol=1e-5)
    other = torch.randn(1, 6, size[1] + 3, size[0])
    torch.testing.assert_close(context(other), pyramid(other), rtol=1e-4, atol=1e-5)


def test_convolution_before_enlarging() -> None:
    """Parts of three sizes, in any order, against the published order: enlarge, join, convolve."""
    layers = filled(unit(4 + 3 + 5 + 2, 6))
    parts = [torch.randn(2, 4, 9, 7), torch.randn(2, 3, 5, 4), torch.randn(2, 5, 9, 7), torch.randn(2, 2, 3, 2)]
    expected = layers(torch.cat([to_size_of(part, parts[0]) for part in parts], dim=1))
    folded = fold(copy.deepcopy(layers))
    assert isinstance(folded, nn.Sequential)
    torch.testing.assert_close(joined(folded, parts), expected, rtol=1e-4, atol=1e-5)


def rounded(block: Bottleneck) -> Bottleneck:
    for conv in (block.conv1, block.conv2, block.conv3):
        conv.to(torch.bfloat16)
    return block


@pytest.mark.parametrize("stride", [1, 2])
def test_residual_block(stride: int) -> None:
    plain = filled(Bottleneck(32, 8, stride))
    folded = fold(copy.deepcopy(plain))
    x = torch.randn(2, 32, 9, 7).relu()
    expected: Tensor = plain(x)
    torch.testing.assert_close(residual(folded, x.clone()), expected, rtol=1e-4, atol=1e-5)
    found = residual(rounded(folded), x.clone())
    assert found.dtype == torch.float32
    error = (found - expected).std() / expected.std()
    assert 1e-5 < error < 0.02


@pytest.mark.parametrize("stride", [1, 2])
def test_the_stream_is_not_rounded(stride: int) -> None:
    """With a branch that adds nothing, a block in bfloat16 gives what it gives in float32, to the bit."""
    block = fold(filled(Bottleneck(32, 8, stride)))
    assert block.conv3.bias is not None
    block.conv3.weight.zero_()
    block.conv3.bias.zero_()
    x = torch.randn(2, 32, 9, 7).relu()
    expected = residual(block, x.clone())
    assert not torch.equal(expected, expected.bfloat16().float())
    assert torch.equal(residual(rounded(block), x.clone()), expected)
