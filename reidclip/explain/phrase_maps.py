"""Transport maps (CLIP3DReID, figure 3): where in a picture the mass of each phrase goes under the student's transport plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import UserError, nearest
from reidclip.explain.placing import Floats
from reidclip.train.transport_guide import TransportGuide

ALL = "all"
_ARTICLE = "a "


@dataclass(frozen=True)
class Column:
    """What one map is of.

    Attributes:
        pair: number of a pair of phrases.
        side: 0 or 1 for one of its phrases; None for whichever fits the picture.
    """

    pair: int
    side: int | None = None

    def title(self, phrases: Sequence[tuple[str, str]]) -> str:
        """``tall`` or ``tall / short``."""
        return " / ".join(phrases[self.pair]) if self.side is None else phrases[self.pair][self.side]


def columns_of(wanted: Sequence[str], phrases: Sequence[tuple[str, str]]) -> tuple[Column, ...]:
    """The maps that were asked for: one per phrase, or with "all" one per pair; nothing asked for gives none.

    Raises:
        UserError: a phrase that is not among them.
    """
    known = {phrase.removeprefix(_ARTICLE): Column(pair, side) for pair, both in enumerate(phrases) for side, phrase in enumerate(both)}
    found: list[Column] = []
    for name in wanted:
        if name == ALL:
            found += [Column(pair) for pair in range(len(phrases))]
        elif (column := known.get(name.strip().lower().removeprefix(_ARTICLE))) is not None:
            found.append(column)
        else:
            raise UserError(f"The checkpoint knows no phrase '{name}'.", nearest(name, (ALL, *known)))
    return tuple(dict.fromkeys(found))


@torch.no_grad()
def phrase_maps(
    encoder: InferenceEncoder,
    guide: TransportGuide,
    images: Tensor,
    columns: Sequence[Column],
    choices: Tensor | None = None,
    camera: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """How the mass of each phrase is spread over the picture: columns of the plan T, which all have the same sum.

    A column whose phrase is given stands for its pair whatever fits the picture; the other pairs are as chosen.

    Args:
        encoder: the student, in evaluation mode.
        guide: that was trained with it.
        images: (B, 3, H, W), normalised.
        columns: the Q maps to make.
        choices: (B, P) which phrase of each pair fits, see `reidclip.train.descriptions`; None lets the student say (`nearer_phrases`).
        camera: as `InferenceEncoder.forward` takes it.

    Returns:
        (B, Q, h, w) float32 in the grid of the student's map, the mean over both mirror images where inference takes both; and the
        choices that were used, (B, P).

    Raises:
        UserError: a guide that was trained with another student.
    """
    views = [images, images.flip(-1)] if encoder.options.flip else [images]
    places = [encoder.image_encoder.forward_places(view, camera)[1] for view in views]
    grid = encoder.image_encoder.config.grid
    if places[0].shape[1:] != (grid[0] * grid[1], guide.width):
        told = f"Words of the guide are {guide.width} channels wide, the student's map is {tuple(places[0].shape[1:])} for {grid} places."
        raise UserError(told, "Take a checkpoint whose student and guide were trained together.")
    if choices is None:
        choices = nearer_phrases(guide, torch.cat(places, dim=1))
    maps = [_columns(guide, view, columns, choices).reshape(len(images), len(columns), *grid) for view in places]
    return (maps[0] if len(maps) == 1 else (maps[0] + maps[1].flip(-1)) / 2), choices


def _columns(guide: TransportGuide, places: Tensor, columns: Sequence[Column], choices: Tensor) -> Tensor:
    """(B, N, C) -> (B, Q, N)."""
    as_chosen = guide(places, choices).plan.plan
    found = []
    for column in columns:
        plan = as_chosen
        if column.side is not None:
            given = choices.clone()
            given[:, column.pair] = column.side
            plan = guide(places, given).plan.plan
        found.append(plan[:, :, column.pair])
    return torch.stack(found, dim=1)


@torch.no_grad()
def nearer_phrases(guide: TransportGuide, places: Tensor) -> Tensor:
    """Of each pair the phrase that the student's map is nearer to: the larger mean cosine over places; (B, N, C) -> (B, P) int64.

    The training draws places to the phrases that fit, so the student's own reading of a picture needs no CLIP.
    """
    mean = F.normalize(places.float(), dim=2).mean(dim=1)  # (B, C)
    words = F.normalize(guide.psi(guide.texts).float(), dim=2)  # (P, 2, C)
    first, second = torch.einsum("bc,psc->bps", mean, words).unbind(-1)
    return (second > first).long()


def evenness(heat: NDArray[np.floating]) -> Floats:
    """How evenly maps (..., h, w) are spread: exp(entropy) / cells, 1 where every cell has the same, 1 / cells where one has all."""
    cells = heat.reshape(*heat.shape[:-2], -1).astype(np.float64)
    share = cells / np.maximum(cells.sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    entropy = -np.sum(share * np.log(share, out=np.zeros_like(share), where=share > 0), axis=-1)
    even: Floats = np.exp(entropy) / share.shape[-1]
    return even
