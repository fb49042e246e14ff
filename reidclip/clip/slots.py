"""Finds the tokens of a prompt that learned vectors take the place of, whatever the tokenizer makes of the word X."""

from __future__ import annotations

import re
from typing import NamedTuple

from torch import Tensor

from reidclip.clip.tokenizer import Tokenizer

_PLACEHOLDERS = ("X", "the", "is", "it", "to")  # what is written into the slots does not matter: its embedding is never read
_WORD = re.compile(r"\bX\b")


class SlottedText(NamedTuple):
    """A tokenised prompt.

    Attributes:
        token_ids: (L,) as `reidclip.clip.prompts.PromptTemplate` has them.
        end: position of end-of-text.
        slots: positions of the X.
    """

    token_ids: Tensor
    end: int
    slots: list[int]


def tokenise_slots(text: str, tokenizer: Tokenizer) -> SlottedText:
    """Tokenise a prompt in which the word X marks slots.

    X may be lower-cased, or begin with the space before it. Where it is more than one token, a word that is one stands in for it.

    Raises:
        ValueError: no X in the text, none that is one token, or more tokens than the context has.
    """
    count = len(_WORD.findall(text))
    if not count:
        raise ValueError(f"prompt {text!r} has no X to learn")
    for placeholder in _PLACEHOLDERS:
        if placeholder != "X" and re.search(rf"\b{placeholder}\b", text, re.IGNORECASE):
            continue
        found = _with_placeholder(text, placeholder, count, tokenizer)
        if found is not None:
            return found
    raise ValueError(f"prompt {text!r}: this tokenizer has no word of one token for the places of the X")


def _with_placeholder(text: str, placeholder: str, count: int, tokenizer: Tokenizer) -> SlottedText | None:
    """The prompt with another word in the slots; None when that word is not one token everywhere."""
    before, one, two = (tokenizer.encode("a" + f" {placeholder}" * repeated) for repeated in range(3))
    slot = one[-1]
    if one != [*before, slot] or two != [*before, slot, slot]:
        return None
    written = _WORD.sub(placeholder, text)
    marked, words = _marked(written, tokenizer), tokenizer.encode(written)
    padded = tokenizer(written)[0]
    if len(marked) > len(padded):
        marks = len(marked) - len(words)
        raise ValueError(f"prompt {text!r} has {len(words)} tokens; the text encoder takes {len(padded) - marks}")
    slots = [i for i, token in enumerate(marked) if token == slot]
    if len(slots) != count:
        return None
    kept = padded if getattr(tokenizer, "reads_padding", False) else padded[: len(marked)]
    return SlottedText(kept.clone(), len(marked) - 1, slots)


def _marked(text: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids with start and end, not cut; of CLIP's tokenizer their values do not matter."""
    encode_marked = getattr(tokenizer, "encode_marked", None)
    if encode_marked is not None:
        ids: list[int] = encode_marked(text)
        return ids
    return [-1, *tokenizer.encode(text), -1]
