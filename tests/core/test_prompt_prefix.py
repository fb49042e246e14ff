"""Prompts whose constant beginning is remembered against open_clip's own tower over whole sentences: same losses, same gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reidclip.clip.architecture import build_towers
from reidclip.clip.prompts import PromptLearner, PromptTemplate
from reidclip.clip.text_encoder import TextEncoder
from reidclip.clip.tokenizer import make_tokenizer
from reidclip.formulas.contrastive import supervised_contrastive
from tests.tiny_clip import TINY_VIT

CLASSES = 6
MIDDLE = "a photo of a X X X X person."
TEMPLATES = {"start": "X X X X person.", "middle": MIDDLE, "end": "a photo of X X"}
TOWERS: dict[str, dict[str, Any]] = {
    "gelu": {"quick_gelu": False},
    "quick_gelu": {"quick_gelu": True},
    "four-layers": {"text_cfg": {"layers": 4}},
    "one-layer": {"text_cfg": {"layers": 1}},
    "layer-scale": {"text_cfg": {"ls_init_value": 0.3}},
    "projection-with-bias": {"text_cfg": {"proj_bias": True}},
    "end-by-id": {"text_cfg": {"pool_type": "eos", "eos_id": 599}},
}
OTHER_BLOCKS: dict[str, dict[str, Any]] = {"qk-norm": {"text_cfg": {"qk_norm": True}}, "scaled-heads": {"text_cfg": {"scale_heads": True}}}


def text_encoder(**changes: Any) -> TextEncoder:
    model = {**TINY_VIT, **changes, "text_cfg": {**TINY_VIT["text_cfg"], **changes.get("text_cfg", {})}}
    torch.manual_seed(3)
    encoder = TextEncoder(build_towers(model))
    with torch.no_grad():  # as trained weights are: no zero biases, no norms of one
        for p in encoder.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return encoder


def learner(template: str = MIDDLE, **changes: Any) -> PromptLearner:
    return PromptLearner(PromptTemplate(template, make_tokenizer(TINY_VIT["text_cfg"])), text_encoder(**changes), CLASSES, seed=1)


def whole_sentences(prompts: PromptLearner, labels: Tensor) -> Tensor:
    """The plain way: every row of the batch, padded to the whole context, through open_clip's transformer."""
    text, slots = prompts.text_encoder, prompts.template.groups[0]
    ids = torch.zeros(text.context_length, dtype=torch.int64)
    ids[: len(prompts.template.token_ids)] = prompts.template.token_ids
    words = text.token_embedding(ids).expand(len(labels), -1, -1)
    x = torch.cat([words[:, : slots[0]], prompts.contexts[labels], words[:, slots[-1] + 1 :]], dim=1) + text.positional_embedding
    mask = torch.full((x.shape[1], x.shape[1]), -torch.inf, dtype=x.dtype).triu_(1)
    x = text.ln_final(text.transformer(x, attn_mask=mask))[:, prompts.template.end]
    projection = text.text_projection
    features: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return features


def loss_and_gradient(prompts: PromptLearner, labels: Tensor, encode: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    images = torch.randn(len(labels), 12, generator=torch.Generator().manual_seed(5)).to(prompts.contexts.dtype)
    text = encode(labels)
    loss = supervised_contrastive(images, text, labels, labels) + supervised_contrastive(text, images, labels, labels)
    (gradient,) = torch.autograd.grad(loss, prompts.contexts)
    return loss.detach(), gradient


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).detach().norm() / expected.detach().norm())


def assert_exact(prompts: PromptLearner, labels: Tensor, limit: float = 1e-5) -> None:
    loss, gradient = loss_and_gradient(prompts, labels, prompts)
    wanted_loss, wanted_gradient = loss_and_gradient(prompts, labels, lambda rows: whole_sentences(prompts, rows))
    assert relative(loss, wanted_loss) < limit
    assert relative(gradient, wanted_gradient) < limit


LABELS = torch.tensor([4, 0, 4, 4, 2, 0, 5, 4])


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("changes", TOWERS.values(), ids=TOWERS)
def test_loss_and_gradient_are_those_of_whole_sentences(template: str, changes: dict[str, Any]) -> None:
    prompts = learner(template, **changes)
    assert prompts.text_encoder.takes_prefix
    assert_exact(prompts, LABELS)
    assert_exact(prompts, LABELS[:3])  # now from memory


@pytest.mark.parametrize("changes", OTHER_BLOCKS.values(), ids=OTHER_BLOCKS)
def test_blocks_of_another_kind_are_run_the_plain_way(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = learner(**changes)
    monkeypatch.setattr(TextEncoder, "encode_prefix", lambda *args: pytest.fail("these blocks cannot take a prefix"))
    assert not prompts.text_encoder.takes_prefix
    assert_exact(prompts, LABELS)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=12), st.sampled_from(sorted(TEMPLATES)))
def test_any_batch(labels: list[int], template: str) -> None:
    """Features and what a random weighting of them sends back: the loss of a batch of one person may be exactly zero."""
    prompts, rows = PROMPTS[template], torch.tensor(labels)
    text, wanted = prompts(rows), whole_sentences(prompts, rows)
    weights = torch.randn(text.shape, generator=torch.Generator().manual_seed(len(labels)))
    (gradient,), (wanted_gradient,) = (torch.autograd.grad((t * weights).sum(), prompts.contexts) for t in (text, wanted))
    assert relative(text, wanted) < 1e-5
    assert relative(gradient, wanted_gradient) < 1e-5
    assert not gradient[sorted(set(range(CLASSES)) - set(labels))].any()


PROMPTS = {name: learner(template) for name, template in TEMPLATES.items()}


def test_double_precision_agrees_to_its_own_rounding() -> None:
    prompts = learner().double()
    prompts.text_encoder.double()
    assert_exact(prompts, LABELS, limit=1e-13)


# ------------------------------------------------------------------------------------------------------------------ what is computed
def positions_run(prompts: PromptLearner, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(rows, positions) of every call of the text encoder."""
    seen: list[tuple[int, int]] = []
    forward = TextEncoder.forward
    monkeypatch.setattr(TextEncoder, "forward", lambda self, x, *rest: seen.append(tuple(x.shape[:2])) or forward(self, x, *rest))
    return seen


@pytest.mark.parametrize(("template", "positions"), [(TEMPLATES["start"], 4), (MIDDLE, 4), (TEMPLATES["end"], 2)])
def test_only_learned_and_later_positions_are_run_and_the_beginning_once(
    template: str, positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = learner(template)
    seen = positions_run(prompts, monkeypatch)
    beginnings: list[int] = []
    encode = TextEncoder.encode_prefix
    monkeypatch.setattr(TextEncoder, "encode_prefix", lambda self, x: beginnings.append(len(x)) or encode(self, x))
    for _ in range(3):
        prompts(LABELS).sum().backward()
    prompts.all_features(chunk=4)
    suffix = len(prompts.template.token_ids) - prompts.template.start - positions
    assert seen == [(4, positions + suffix)] * 3 + [(4, positions + suffix), (2, positions + suffix)]
    assert beginnings == [prompts.template.groups[0][0]]


def test_a_beginning_met_without_gradients_serves_training() -> None:
    prompts = learner()
    with torch.inference_mode():
        prompts.all_features()
    assert_exact(prompts, LABELS)


# --------------------------------------------------------------------------------------------------------------------- what forgets it
def scaled(module: nn.Module) -> dict[str, Tensor]:
    return {key: 1.5 * value for key, value in module.state_dict().items()}


def in_place(text: TextEncoder) -> None:
    with torch.no_grad():
        text.transformer.resblocks[0].mlp.c_fc.weight.mul_(1.5)


def replaced(text: TextEncoder) -> None:
    attention = text.transformer.resblocks[1].attn
    attention.in_proj_weight = nn.Parameter(1.5 * attention.in_proj_weight, requires_grad=False)


def loaded(text: TextEncoder) -> None:
    text.load_state_dict(scaled(text))


def assigned(text: TextEncoder) -> None:
    text.load_state_dict(scaled(text), assign=True)
    text.freeze()


def first_position(text: TextEncoder) -> None:
    with torch.no_grad():
        text.positional_embedding[0, 0] += 5


@pytest.mark.parametrize("change", [in_place, replaced, loaded, assigned, first_position], ids=lambda f: f.__name__)
def test_changed_weights_are_noticed(change: Callable[[TextEncoder], None]) -> None:
    prompts = learner()
    before = prompts(LABELS).detach()
    change(prompts.text_encoder)
    plain = prompts.text_encoder(prompts.template.fill(prompts.words, prompts.contexts[LABELS]), prompts.template.end)
    assert relative(before, plain) > 1e-3
    assert relative(prompts(LABELS), plain) < 1e-5


def test_changed_words_and_precision_are_noticed() -> None:
    prompts = learner()
    prompts(LABELS)
    with torch.no_grad():
        prompts.words[1, 0] += 5
    plain = prompts.text_encoder(prompts.template.fill(prompts.words, prompts.contexts[LABELS]), prompts.template.end)
    assert relative(prompts(LABELS), plain) < 1e-5
    prompts.double()
    prompts.text_encoder.double()
    assert prompts(LABELS).dtype == torch.float64
    prompts.float()
    prompts.text_encoder.float()
    assert relative(prompts(LABELS), plain) < 1e-5


def test_a_text_encoder_that_is_trained_gets_its_gradients() -> None:
    prompts = learner()
    prompts(LABELS)
    text = prompts.text_encoder.requires_grad_(True)
    prompts(LABELS).square().sum().backward()
    trained = [name for name, p in text.named_parameters() if p.grad is None or not p.grad.any()]
    assert trained == ["token_embedding.weight"]  # the words were looked up when the prompts were made


def test_copies_stand_on_their_own() -> None:
    prompts = learner()
    prompts(LABELS)
    copied = copy.deepcopy(prompts)
    in_place(copied.text_encoder)
    assert_exact(copied, LABELS)
    assert_exact(prompts, LABELS)


# ------------------------------------------------------------------------------------------------------------------------- autocast
def test_autocast_rounds_alike_and_leaves_no_rounded_beginning_behind() -> None:
    prompts = learner()
    exact, exact_gradient = loss_and_gradient(prompts, LABELS, prompts)
    with torch.autocast("cpu", torch.bfloat16):
        loss, gradient = loss_and_gradient(prompts, LABELS, prompts)
        plain = prompts.text_encoder(prompts.template.fill(prompts.words, prompts.contexts), prompts.template.end)
        table = prompts.all_features()
    assert table.dtype == torch.float32
    assert relative(table, plain) < 5e-3  # the same products, rounded in other blocks of rows
    assert 1e-6 < relative(table, prompts.all_features()) < 3e-2  # it was rounded
    assert relative(gradient, exact_gradient) < 5e-2
    assert relative(loss, exact) < 5e-2
    again, again_gradient = loss_and_gradient(prompts, LABELS, prompts)
    assert torch.equal(again, exact) and torch.equal(again_gradient, exact_gradient)
