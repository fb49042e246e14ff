"""The text tower against open_clip's own, the tokenizer, prompt templates and prompt learners."""

from __future__ import annotations

import copy

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.clip.architecture import build_towers
from reidclip.clip.prompts import PromptLearner, PromptTemplate
from reidclip.clip.text_encoder import TextEncoder
from reidclip.clip.tokenizer import make_tokenizer
from reidclip.errors import UserError
from tests.tiny_clip import TINY_VIT, tiny_clip

TEXTS = ["a person", "A photo of a tall man in a red coat.", "x"]
PERSON = "A photo of a X X X X person."
CLIP = tiny_clip()
FULL = make_tokenizer({"vocab_size": 49408, "context_length": 77})


@pytest.mark.parametrize(
    "extra", [{}, {"qk_norm": True}, {"proj_bias": True}, {"pool_type": "eos", "eos_id": 599}], ids=["plain", "custom", "bias", "eos"]
)
def test_features_are_open_clips(extra: dict[str, object]) -> None:
    model = {**TINY_VIT, "text_cfg": {**TINY_VIT["text_cfg"], **extra}}
    torch.manual_seed(1)
    towers = build_towers(model).eval()
    ids = make_tokenizer(model["text_cfg"])(TEXTS)
    encoder = TextEncoder(copy.deepcopy(towers))
    torch.testing.assert_close(encoder.encode_text(ids), towers.encode_text(ids), atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 598), min_size=1, max_size=20), st.integers(0, 1000))
def test_nothing_after_end_of_text_matters(words: list[int], seed: int) -> None:
    encoder = CLIP.text_encoder
    ids = torch.tensor([[598, *words, 599]])
    end = len(words) + 1
    short = encoder.embed(ids)
    noise = torch.randn(1, 22 - len(words), encoder.width, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(encoder(torch.cat([short, noise], 1), end), encoder(short, end))


def test_rows_of_different_length_are_encoded_as_if_alone() -> None:
    clip = tiny_clip()
    ids = clip.tokenizer(TEXTS)
    together = clip.text_encoder.encode_text(ids)
    alone = torch.cat([clip.text_encoder.encode_text(row[None]) for row in ids])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_end_of_text_outside_the_tokens_is_told() -> None:
    clip = tiny_clip()
    with pytest.raises(ValueError, match="end-of-text at 7"):
        clip.text_encoder(torch.zeros(1, 5, clip.text_encoder.width), 7)


def test_autocast_gives_full_precision_features() -> None:
    clip = tiny_clip()
    ids = clip.tokenizer(TEXTS)
    with torch.no_grad():
        exact = clip.text_encoder.encode_text(ids)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            reduced = clip.text_encoder.encode_text(ids)
    assert reduced.dtype == torch.float32
    assert float((exact - reduced).norm() / exact.norm()) < 0.03


# -------------------------------------------------------------------------------------------------------------------------- tokenizer
def test_full_vocabulary_is_open_clips() -> None:
    assert torch.equal(FULL(TEXTS), open_clip.tokenize(TEXTS))


@settings(deadline=None, max_examples=40)
@given(st.text(alphabet="abcdefghij xyz'.,0123äß", max_size=30), st.sampled_from([514, 600, 2048]))
def test_small_vocabulary_writes_every_text(text: str, size: int) -> None:
    tokenizer = SMALL[size]
    ids = tokenizer.encode(text)
    assert all(i < size - 2 for i in ids)
    assert tokenizer.decode(ids) == FULL.decode(FULL.encode(text))  # type: ignore[attr-defined]


SMALL = {size: make_tokenizer({"vocab_size": size, "context_length": 16}) for size in (514, 600, 2048)}


def test_small_vocabulary_ends_texts_with_its_highest_id() -> None:
    row = SMALL[600]("a man")[0]
    assert row[0] == 598
    assert row.max() == 599
    assert int(row.argmax()) == len(SMALL[600].encode("a man")) + 1
    assert len(SMALL[2048].encode("photo")) <= len(SMALL[514].encode("photo")) == 5


@pytest.mark.parametrize("size", [10, 513, 50000])
def test_impossible_vocabulary(size: int) -> None:
    with pytest.raises(UserError, match=str(size)):
        make_tokenizer({"vocab_size": size})


# ---------------------------------------------------------------------------------------------------------------------------- prompts
@pytest.mark.parametrize(
    ("text", "groups", "end"),
    [
        (PERSON, ((5, 6, 7, 8),), 11),
        ("A photo of a X X X X clothes.", ((5, 6, 7, 8),), 11),
        ("A photo of a X X X X person from X dataset.", ((5, 6, 7, 8), (11,)), 15),
        ("X X wearing a box", ((1, 2),), 6),
    ],
)
def test_template_positions(text: str, groups: tuple[tuple[int, ...], ...], end: int) -> None:
    template = PromptTemplate(text, FULL)
    assert (template.groups, template.end) == (groups, end)


@pytest.mark.parametrize(("text", "words"), [("A photo of a person.", "no X"), ("X " + "word " * 30, "takes 14")])
def test_template_mistakes(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PromptTemplate(text, SMALL[600])


def test_fill_replaces_the_slots_and_nothing_else() -> None:
    template = PromptTemplate("A photo of a X X X X person from X dataset.", FULL)
    words = torch.arange(16.0)[:, None].expand(16, 3)
    identity, domain = torch.full((2, 4, 3), -1.0), torch.full((2, 1, 3), -2.0)
    filled = template.fill(words, identity, domain)
    expected = [0.0, 1, 2, 3, 4, -1, -1, -1, -1, 9, 10, -2, 12, 13, 14, 15]
    assert filled.shape == (2, 16, 3)
    assert filled[1, :, 2].tolist() == expected
    with pytest.raises(ValueError, match=r"slots \[4, 1\], given \[4\]"):
        template.fill(words, identity)


def learner(classes: int = 5, seed: int = 0) -> PromptLearner:
    clip = tiny_clip()
    return PromptLearner(PromptTemplate("a X X X X b", clip.tokenizer), clip.text_encoder, classes, seed)


def test_features_follow_the_labels_and_each_class_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = learner()
    table = prompts.all_features()
    rows = []
    encode = TextEncoder.forward
    monkeypatch.setattr(TextEncoder, "forward", lambda self, x, *rest: rows.append(len(x)) or encode(self, x, *rest))
    labels = torch.tensor([4, 0, 4, 4, 2, 0])
    torch.testing.assert_close(prompts(labels), table[labels], atol=1e-6, rtol=1e-5)
    assert rows == [3]
    torch.testing.assert_close(prompts.all_features(chunk=2), table, atol=1e-6, rtol=1e-5)
    assert rows == [3, 2, 2, 1]


def test_features_are_those_of_the_whole_sentence_with_the_vectors_in_place() -> None:
    clip = tiny_clip()
    prompts = PromptLearner(PromptTemplate("a X X b", clip.tokenizer), clip.text_encoder, 2)
    embedded = clip.text_encoder.embed(clip.tokenizer("a X X b"))
    embedded[0, 2:4] = prompts.contexts[1].detach()
    expected = clip.text_encoder(embedded, prompts.template.end)
    torch.testing.assert_close(prompts(torch.tensor([1])), expected, atol=1e-6, rtol=1e-5)


def test_only_contexts_are_learned_and_saved() -> None:
    prompts = learner()
    assert list(prompts.state_dict()) == ["contexts"]
    assert [name for name, _ in prompts.named_parameters()] == ["contexts"]
    prompts(torch.tensor([1, 3, 3])).square().sum().backward()
    assert prompts.contexts.grad is not None
    assert prompts.contexts.grad.abs().sum((1, 2)).gt(0).tolist() == [False, True, False, True, False]
    assert all(p.grad is None and not p.requires_grad for p in prompts.text_encoder.parameters())
    assert not prompts.all_features().requires_grad


def test_contexts_are_drawn_from_the_seed() -> None:
    assert torch.equal(learner(seed=1).contexts, learner(seed=1).contexts)
    assert not torch.equal(learner(seed=1).contexts, learner(seed=2).contexts)
    drawn = learner(classes=2000).contexts.detach()
    assert abs(float(drawn.mean())) < 1e-3
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.02)


def test_learner_takes_one_group_of_slots() -> None:
    clip = tiny_clip()
    with pytest.raises(ValueError, match="2 groups"):
        PromptLearner(PromptTemplate("a X b X", clip.tokenizer), clip.text_encoder, 3)
