"""A prompt-learning step against the published way: all 77 positions, once per image of the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from reidclip.clip.load import ClipModel, load_clip
from reidclip.clip.prompts import PromptLearner, PromptTemplate
from reidclip.formulas.contrastive import supervised_contrastive
from tests.bench.row import Row, seconds

TEMPLATE = "A photo of a X X X X person."
BATCH, IDENTITIES, CLASSES = 64, 16, 150


def step(texts: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """i2t + t2i and its gradient: what one step computes once the text features are there."""
    loss = supervised_contrastive(images, texts, labels, labels) + supervised_contrastive(texts, images, labels, labels)
    loss.backward()
    return loss.detach()


def encode_everything(clip: ClipModel, learner: PromptLearner, labels: Tensor) -> Tensor:
    """The published way, by open_clip's own modules: one text per image, padded to the whole context length."""
    text = clip.text_encoder
    token_ids = clip.tokenizer(learner.template.text)[0]
    end, slots = int(token_ids.argmax()), learner.template.groups[0]
    words = text.token_embedding(token_ids).expand(len(labels), -1, -1)
    x = torch.cat([words[:, : slots[0]], learner.contexts[labels], words[:, slots[-1] + 1 :]], dim=1) + text.positional_embedding
    length = x.shape[1]
    causal = torch.full((length, length), -torch.inf).triu_(1)
    x = text.ln_final(text.transformer(x, attn_mask=causal))
    features: Tensor = x[:, end] @ text.text_projection
    return features


def main(quick: bool) -> list[Row]:
    """Ratio of step times, same contexts, same loss: with a batch as the sampler makes it, and with 64 people in the batch."""
    clip = load_clip("random:ViT-B-16")
    learner = PromptLearner(PromptTemplate(TEMPLATE, clip.tokenizer), clip.text_encoder, CLASSES)
    return [*compare(clip, learner, IDENTITIES, quick), *compare(clip, learner, BATCH, quick, limit=None)]


def compare(clip: ClipModel, learner: PromptLearner, identities: int, quick: bool, limit: float | None = 30) -> list[Row]:
    """One step with a batch of that many people, ours against the published way."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randperm(CLASSES, generator=generator)[:identities].repeat_interleave(BATCH // identities)
    images = torch.randn(BATCH, clip.joint_width, generator=generator)
    losses: dict[str, Tensor] = {}
    gradients: dict[str, Tensor] = {}

    def ours() -> None:
        losses["ours"] = step(learner(labels), images, labels)

    def published() -> None:
        losses["published"] = step(encode_everything(clip, learner, labels), images, labels)

    best: dict[str, float] = {}
    for _ in range(1 if quick else 4):  # in turns, so that what else the machine does meets both
        for name, work, repeats in (("ours", ours, 3), ("published", published, 1)):
            for _ in range(repeats):
                learner.zero_grad()
                best[name] = min(best.get(name, float("inf")), seconds(work))
            assert learner.contexts.grad is not None
            gradients[name] = learner.contexts.grad.clone()
    size = f"ViT-B/16 text, batch {BATCH}, {identities} identities"
    loss_difference = float((losses["ours"] / losses["published"] - 1).abs())
    gradient_difference = float((gradients["ours"] - gradients["published"]).norm() / gradients["published"].norm())
    note = f"ours {best['ours']:.3f} s, published {best['published']:.2f} s"
    return [
        Row(f"prompt-learning step, speed-up, {size}", best["published"] / best["ours"], "x", limit, True, note),
        Row(f"relative difference of the loss, {identities} identities", loss_difference, "", 1e-5, False),
        Row(f"relative difference of the gradient (L2), {identities} identities", gradient_difference, "", 1e-5, False),
    ]
