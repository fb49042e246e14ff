"""The CLIP that describes pictures, and its sentences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reidclip.bodies.phrases import TEMPLATE, Pair
from reidclip.clip.geometry import Size
from reidclip.clip.image_only import ImageOnlyModel
from reidclip.clip.load import ClipModel, load_clip
from reidclip.clip.tokenizer import Tokenizer
from reidclip.clip.trunk_source import is_without_text
from reidclip.errors import UserError

PLACE = "{phrase}"
_MARKS = 2  # start and end of a text


def check_template(template: str) -> None:
    """The sentence has a place for the phrase.

    Raises:
        UserError: it has none.
    """
    if PLACE not in template:
        raise UserError(f"The sentence '{template}' has no {PLACE}.", f'It stands for "is tall", "has long legs": "{TEMPLATE}".')


def check_text_side(teacher: str) -> None:
    """The spec does not name an image encoder without text; nothing is loaded.

    Raises:
        UserError: it does.
    """
    if is_without_text(teacher):
        raise _without_text(teacher)


def load_teacher(teacher: str, size: Size, device: torch.device | str = "cpu") -> ClipModel:
    """The CLIP of a spec, frozen and in evaluation mode, for pictures of (height, width).

    Raises:
        UserError: see `reidclip.clip.load.load_clip`; or one without text.
    """
    check_text_side(teacher)
    clip = load_clip(teacher, image_size=size, device=device)
    if isinstance(clip, ImageOnlyModel):
        raise _without_text(teacher)
    clip.image_encoder.requires_grad_(False).eval()
    clip.text_encoder.freeze()
    return clip


@torch.no_grad()
def text_features(clip: ClipModel, pairs: Sequence[Pair], template: str = TEMPLATE) -> Tensor:
    """Text features of both sentences of every pair: (P, 2, D) float32 on the CPU, not normalised.

    Raises:
        UserError: a sentence without {phrase}, or one that is too long for the CLIP.
    """
    check_template(template)
    sentences = [sentence for pair in pairs for sentence in pair.sentences(template)]
    for sentence in sentences:
        _check_length(clip.tokenizer, clip.text_encoder.context_length, sentence)
    device = clip.text_encoder.positional_embedding.device
    encoded = clip.text_encoder.encode_text(clip.tokenizer(sentences).to(device))
    return encoded.float().cpu().reshape(len(pairs), 2, -1)


def _check_length(tokenizer: Tokenizer, most: int, sentence: str) -> None:
    """Tokenizers cut what is too long, without a word: the phrase may be what is lost."""
    tokens = len(tokenizer.encode(sentence)) + _MARKS
    if tokens > most:
        raise UserError(f"'{sentence}' has {tokens} tokens, this CLIP reads {most}.", "Take a shorter sentence.")


def _without_text(teacher: str) -> UserError:
    return UserError(
        f"'{teacher}' is an image encoder without text: it cannot describe pictures.",
        "Name a CLIP, such as --teacher ViT-B-16:openai or --teacher reidclip-tiny.",
    )
