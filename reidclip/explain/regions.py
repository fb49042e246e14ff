"""Regions of a person, made of a label set's labels: clothes, head, bare limbs, shoes, and what else there is."""

from __future__ import annotations

from dataclasses import dataclass

from reidclip.data.label_sets import LabelSet
from reidclip.errors import UserError

BACKGROUND, CLOTHES = "background", "clothes"
NOT_CLOTHES = "not clothes"  # all that a mask tells of the rest: people and background alike
_BY_WORD = {"head": ("hat", "hair", "sunglasses", "face", "head"), "limbs": ("arm", "leg", "hand", "skin"), "shoes": ("shoe",)}
_OTHER = "other"


@dataclass(frozen=True)
class Regions:
    """Names of regions, and which each label belongs to.

    Attributes:
        names: in the order in which they are reported.
        of_label: label index -> index into ``names``.
    """

    names: tuple[str, ...]
    of_label: tuple[int, ...]


def regions_of(label_set: LabelSet) -> Regions:
    """Regions of a label set: its clothes, the background (label 0), and the rest by the words in the labels' names.

    Label 0 of masks is all that is not clothes, and called so.

    Raises:
        UserError: nobody said which of its labels are clothes.
    """
    if not label_set.clothes:
        raise UserError(
            f"Nobody said which labels of the set '{label_set.name}' are clothes: {', '.join(label_set.labels)}.",
            f'Give a label set file with them: --label-set FILE.toml, with labels = [...] and clothes = ["{label_set.labels[-1]}"].',
        )
    named = [_region(index, label, label_set) for index, label in enumerate(label_set.labels)]
    names = tuple(name for name in (CLOTHES, *_BY_WORD, _OTHER, NOT_CLOTHES, BACKGROUND) if name in named)
    return Regions(names, tuple(names.index(name) for name in named))


def _region(index: int, label: str, label_set: LabelSet) -> str:
    if label.lower() in {name.lower() for name in label_set.clothes}:
        return CLOTHES
    if index == 0:
        return NOT_CLOTHES if label.lower() == NOT_CLOTHES else BACKGROUND
    return next((region for region, words in _BY_WORD.items() if any(word in label.lower() for word in words)), _OTHER)
