"""What is trained in each phase, as the training loop wants it: attributes by the image tower, then captions by the text tower or both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from attributes import Attributes
from data import Pairs, batches, distinct_batches
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.load import ClipModel
from reidclip.formulas.contrastive import supervised_contrastive
from reidclip.interfaces import ParamGroup, Update
from reidclip.train.schedule import cosine


@dataclass(frozen=True)
class Rates:
    """How long and how fast one phase is trained; ``shielded`` is the share of pictures with clothes painted white."""

    epochs: int
    lr: float
    image_lr: float
    batch: int = 128
    shielded: float = 1 / 3
    seed: int = 0

    @property
    def hidden(self) -> int:
        """Shielded pictures of a batch: its last ones."""
        return int(self.batch * self.shielded)


class Towers(nn.Module):
    """Both encoders and the log-temperature: everything that is kept."""

    def __init__(self, clip: ClipModel) -> None:
        super().__init__()
        self.image, self.text = clip.image_encoder, clip.text_encoder
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))


class _Phase:
    """Batches and rates that all phases share."""

    def __init__(self, module: nn.Module, pairs: Pairs, attributes: Attributes, rates: Rates) -> None:
        self.module, self.pairs, self.attributes, self.rates, self.epochs = module, pairs, attributes, rates, rates.epochs
        decay = cosine(rates.epochs)
        self.updates = [Update("train", self.groups(), lambda e: (0.3 if e == 0 else 1.0) * max(decay(e), 0.02), self.losses)]

    def groups(self) -> list[ParamGroup]:
        raise NotImplementedError

    def losses(self, batch: Mapping[str, Tensor], outputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        raise NotImplementedError

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        rng = np.random.default_rng(np.random.SeedSequence([self.rates.seed, epoch]))
        return distinct_batches(self.pairs.pids, self.rates.batch, rng)

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        return batches(self.pairs, self.plan(epoch), self.rates.hidden, self.rates.seed, epoch, start)

    def set_mode(self, training: bool) -> None:
        self.module.train(training)


class Heads(nn.Module):
    """A standardised feature and one linear classifier per attribute."""

    def __init__(self, image: ImageEncoder, values: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.image, self.norm = image, nn.BatchNorm1d(image.joint_width)
        self.classify = nn.Linear(image.joint_width, sum(len(v) for v in values.values()))


class AttributeLearning(_Phase):
    """Phase 1: cross-entropy of every attribute on the joint space. A caption says a few things of a picture, this says all of them."""

    module: Heads

    def groups(self) -> list[ParamGroup]:
        return _groups("image", self.module, self.rates.image_lr)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor]:
        feature = self.module.image(batch["image"]).projected
        return (self.module.classify(self.module.norm(feature.float())),)

    def losses(self, batch: Mapping[str, Tensor], outputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {"attributes": attribute_loss(outputs[0].float(), self.attributes, batch["index"], self.rates.hidden)}


class CaptionLearning(_Phase):
    """Phases 2 and 3: CLIP's loss on captions, whole and shielded pictures apart, and sentences as classes of their attribute.

    With ``features`` the image tower stays as it is (locked-image tuning: Zhai et al., CVPR 2022) and need not run.
    """

    module: Towers

    def __init__(
        self,
        clip: ClipModel,
        towers: Towers,
        pairs: Pairs,
        attributes: Attributes,
        rates: Rates,
        features: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.clip, self.features, self._tokens = clip, features, dict[str, Tensor]()
        super().__init__(towers, pairs, attributes, rates)

    def groups(self) -> list[ParamGroup]:
        found = [*_groups("text", self.module.text, self.rates.lr)]
        found.append(ParamGroup("scale", [("logit_scale", self.module.logit_scale)], 3 * self.rates.lr))
        return found if self.features is not None else [*_groups("image", self.module.image, self.rates.image_lr), *found]

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        steps = batches(self.pairs, self.plan(epoch), self.rates.hidden, self.rates.seed, epoch, start, with_pictures=self.features is None)
        for number, batch in enumerate(steps, start):
            rng = np.random.default_rng(np.random.SeedSequence([self.rates.seed, epoch, number, 1]))
            said = [text for texts in self.attributes.sentences(rng).values() for text in texts]
            yield {**batch, "sentences": self._tokenized(said)}

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        text = self.module.text
        return self._image(batch), text.encode_text(batch["text"]), text.encode_text(batch["sentences"])

    def losses(self, batch: Mapping[str, Tensor], outputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        image, text, sentences = outputs
        cut = len(image) - self.rates.hidden
        scale = self.module.logit_scale.clamp(max=math.log(100.0)).exp()
        found = {"pairs": _info_nce(image[:cut], text[:cut], batch["text"][:cut], scale)}
        if self.rates.hidden:
            found["shielded"] = _info_nce(image[cut:], text[cut:], batch["text"][cut:], scale)
        scores = scale * F.normalize(image.float(), dim=1) @ F.normalize(sentences.float(), dim=1).T
        found["sentences"] = attribute_loss(scores, self.attributes, batch["index"], self.rates.hidden) / 4
        return found

    def set_mode(self, training: bool) -> None:
        self.module.train(training)
        if self.features is not None:
            self.module.image.eval()

    def _image(self, batch: Mapping[str, Tensor]) -> Tensor:
        if self.features is None:
            feature: Tensor = self.module.image(batch["image"]).projected
            return feature
        cut = len(batch["index"]) - self.rates.hidden
        return torch.cat([self.features[0][batch["index"][:cut]], self.features[1][batch["index"][cut:]]])

    def _tokenized(self, sentences: Sequence[str]) -> Tensor:
        for text in sentences:
            if text not in self._tokens:
                self._tokens[text] = self.clip.tokenizer([text])[0]
        return torch.stack([self._tokens[text] for text in sentences])


def attribute_loss(scores: Tensor, attributes: Attributes, index: Tensor, hidden: int) -> Tensor:
    """Sum over attributes of the cross-entropy; scores (B, all values in order), the last ``hidden`` rows without clothes."""
    total, start = scores.new_zeros(()), 0
    for name, values in attributes.values.items():
        target = attributes.targets(name, index.tolist(), hidden).to(scores.device)
        if bool((target >= 0).any()):
            own = scores[:, start : start + len(values)]
            total = total + F.cross_entropy(own, target, attributes.weights[name].to(own.device), ignore_index=-1)
        start += len(values)
    return total


def _groups(name: str, module: nn.Module, lr: float) -> list[ParamGroup]:
    named = [(f"{name}.{key}", p) for key, p in module.named_parameters()]
    return [
        ParamGroup(f"{name}-weights", [(k, p) for k, p in named if p.ndim > 1], lr, 1e-5),
        ParamGroup(f"{name}-norms", [(k, p) for k, p in named if p.ndim <= 1], lr),
    ]


def _info_nce(image: Tensor, text: Tensor, tokens: Tensor, scale: Tensor) -> Tensor:
    """Pictures with the same caption, word for word, are each other's positives."""
    _, caption = torch.unique(tokens, dim=0, return_inverse=True)
    forward = supervised_contrastive(image, text, caption, caption, scale, "cosine")
    return (forward + supervised_contrastive(text, image, caption, caption, scale, "cosine")) / 2
