"""What a small CLIP can do on people it has never seen: caption retrieval and zero-shot attributes. Figures for the model card."""

from __future__ import annotations

import numpy as np
import torch
from data import Pairs
from torch import Tensor
from torch.nn import functional as F

from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.load import ClipModel
from reidclip.formulas.masks import shield


@torch.no_grad()
def joint_features(encoder: ImageEncoder, pairs: Pairs, shielded: bool = False) -> Tensor:
    """Projected features of all pictures, (N, D)."""
    rows = []
    encoder.eval()
    for part, keep in zip(pairs.images.split(128), pairs.keep.split(128), strict=True):
        x = shield(part, keep) if shielded else part
        rows.append(encoder(x.float() / 127.5 - 1).projected)
    return torch.cat(rows)


def encode(clip: ClipModel, pairs: Pairs, shielded: bool = False) -> Tensor:
    """Normalised projected features of all pictures, (N, D)."""
    return F.normalize(joint_features(clip.image_encoder, pairs, shielded), dim=1)


@torch.no_grad()
def retrieval(clip: ClipModel, features: Tensor, captions: list[Tensor], rows: np.ndarray) -> float:
    """R@1 of picture -> caption among the captions of ``rows`` (one caption each; equal captions count as right)."""
    text = torch.stack([captions[i][0] for i in rows])
    encoded = F.normalize(clip.text_encoder.encode_text(text), dim=1)
    best = (features[torch.from_numpy(rows)] @ encoded.T).argmax(1)
    return float((text[best] == text).all(1).float().mean())


@torch.no_grad()
def zero_shot(clip: ClipModel, features: Tensor, sentences: dict[str, str], truth: list[str | None]) -> dict[str, float]:
    """Accuracy of picking the sentence of each picture's class, and the share of the commonest class."""
    known = [i for i, t in enumerate(truth) if t in sentences]
    if not known:
        return {}
    names = list(sentences)
    text = F.normalize(clip.text_encoder.encode_text(clip.tokenizer(list(sentences.values()))), dim=1)
    target = torch.tensor([names.index(str(truth[i])) for i in known])
    guess = (features[known] @ text.T).argmax(1)
    per_class = [float((guess[target == c] == c).float().mean()) for c in range(len(names)) if (target == c).any()]
    return {
        "accuracy": round(float((guess == target).float().mean()), 3),
        "balanced": round(float(np.mean(per_class)), 3),
        "chance": round(1 / len(per_class), 3),
    }


def measure(clip: ClipModel, scale: float, pairs: Pairs) -> dict[str, object]:
    """The model card's figures on held-out people."""
    features, hidden = encode(clip, pairs), encode(clip, pairs, shielded=True)
    _, first = np.unique(pairs.pids, return_index=True)
    rows = first[:100]
    found: dict[str, object] = {
        "logit_scale": round(scale, 2),
        "caption retrieval R@1 of 100": round(retrieval(clip, features, pairs.captions, rows), 3),
        "identity caption retrieval R@1 of 100, clothes shielded": round(retrieval(clip, hidden, pairs.identity_captions, rows), 3),
    }
    for name, (sentences, truth) in questions(pairs).items():
        found[f"zero-shot {name}"] = zero_shot(clip, features, sentences, truth)
        found[f"zero-shot {name}, clothes shielded"] = zero_shot(clip, hidden, sentences, truth)
    return found


def questions(pairs: Pairs) -> dict[str, tuple[dict[str, str], list[str | None]]]:
    """Attribute -> (class -> sentence, truth per picture)."""
    identity = [row["identity"] for row in pairs.attributes]
    tops = [row["outfit"]["top"] for row in pairs.attributes]
    behind = [row["view"]["word"] == "back" for row in pairs.attributes]  # glasses cannot be seen
    covered = ["jacket" in row["outfit"] for row in pairs.attributes]  # a closed jacket hides the top
    hair = [str(i["hair_colour"]) for i in identity]
    colours = [None if hidden else str(top["colour"]) for top, hidden in zip(tops, covered, strict=True)]
    garments = [None if hidden else str(top["name"]) for top, hidden in zip(tops, covered, strict=True)]
    return {
        "gender": ({"male": "a photo of a man", "female": "a photo of a woman"}, [str(i["gender"]) for i in identity]),
        "hair colour": ({h: f"a photo of a person with {h} hair" for h in sorted(set(hair) - {"none"})}, list(hair)),
        "glasses": (
            {"yes": "a photo of a person wearing glasses", "no": "a photo of a person without glasses"},
            [None if b else "no" if i["glasses"] == "none" else "yes" for i, b in zip(identity, behind, strict=True)],
        ),
        "colour of the top": ({c: f"a person wearing a {c} top" for c in sorted({c for c in colours if c})}, list(colours)),
        "garment": ({g: f"a person wearing a {g}" for g in sorted({g for g in garments if g})}, list(garments)),
    }
