"""What enters the final block of a ViT that pools otherwise than by its class token, as one vector, against open_clip's own pass."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from reidclip.clip.architecture import build_towers, encoder_config, pair
from reidclip.clip.image_encoder import make_image_encoder
from reidclip.clip.pooled_vit import PooledVitEncoder
from tests.towers import FAMILIES


@pytest.mark.parametrize(
    ("family", "pool_type", "reduced"),
    [
        ("coca", "tok", lambda tokens: tokens.mean(1)),
        ("clipa", "avg", lambda tokens: tokens[:, 1:].mean(1)),
        ("clipa", "tok", lambda tokens: tokens[:, 0]),
    ],
    ids=["attention pool: all tokens", "mean of patches", "class token"],
)
def test_last_is_what_enters_the_final_block_reduced_as_the_tower_pools(family: str, pool_type: str, reduced: Any) -> None:
    model = FAMILIES[family]
    model = {**model, "vision_cfg": {**model["vision_cfg"], "pool_type": pool_type}}
    torch.manual_seed(0)
    theirs = build_towers(model).visual.eval()
    with torch.no_grad():  # of a class token and places near zero, means with and without it would be alike
        theirs.class_embedding.normal_()
        theirs.positional_embedding.normal_()
    ours = make_image_encoder(encoder_config(model, pair(model["vision_cfg"]["image_size"])), copy.deepcopy(theirs)).eval()
    assert isinstance(ours, PooledVitEncoder)
    entering: list[Tensor] = []
    theirs.transformer.resblocks[-1].register_forward_pre_hook(lambda block, given: entering.append(given[0]))
    x = torch.randn(2, 3, *ours.config.image_size)
    with torch.no_grad():
        theirs(x)
        found = [ours(x).last, ours.forward_tokens(x).features.last]
    (tokens,) = entering
    assert tokens.shape[:2] == (2, 1 + ours.config.grid[0] * ours.config.grid[1])
    for last in found:
        torch.testing.assert_close(last, reduced(tokens), rtol=1e-4, atol=1e-5)
    for other in (tokens.mean(1), tokens[:, 1:].mean(1), tokens[:, 0]):
        assert torch.equal(other, reduced(tokens)) or not torch.allclose(other, reduced(tokens), rtol=1e-2, atol=1e-2)
