"""What somebody wears as a short vector, from the parser's label map: colours of upper and lower clothes, and how much they cover.

The descriptor tells outfits apart where the data has no labels of clothes: `reidclip.gallery.clusters` groups pictures by it. It is a
colour histogram, not learned: two outfits of the same colours are one to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from reidclip import registry
from reidclip.data.label_sets import LABEL_SETS
from reidclip.errors import UserError
from reidclip.interfaces import Parser, ParserSession

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

PARSERS, DEFAULT_PARSER = "reidclip.parsers", "schp"
LOWER = frozenset({"Pants", "Skirt", "Upper-legs", "Lower-legs"})
BOTH = frozenset({"Dress", "Jumpsuits"})
ACCESSORIES = frozenset({"Socks", "Glove", "Scarf", "Belt"})  # a few pixels that come and go with the parser
LIGHT_BINS, COLOUR_BINS = 6, 6
COLOUR_RANGE = 60.0  # of a* and b*: more saturated cloth is rare and counts in the outermost bin
COVERAGE_WEIGHT = 0.5
WIDTH = 2 * (LIGHT_BINS + COLOUR_BINS * COLOUR_BINS + 1)
"""C, length of a descriptor."""


def clothes_parser(name: str = DEFAULT_PARSER, device: torch.device | str = "cpu") -> ParserSession:
    """A registered parser with default settings: the bundled one, which is small and fast.

    Raises:
        UserError: no such parser, or weights that are missing.
    """
    parser: Parser = registry.get(PARSERS, name)
    return parser.open(parser.settings(), torch.device(device))


def clothes_descriptors(pictures: Sequence[UInt8], parser: ParserSession, batch_size: int = 32) -> Float32:
    """Describe what is worn in each picture.

    Args:
        pictures: N of RGB uint8 (H, W, 3), of any sizes.
        parser: a loaded parser whose labels name clothes.
        batch_size: pictures that are parsed together; changes the speed alone.

    Returns:
        (N, `WIDTH`) float32: square roots of colour histograms (so that Euclidean distances are Hellinger's) of upper and lower clothes,
        and the share of the person that each covers. All zero where no clothes were seen.

    Raises:
        UserError: a parser that knows no clothes.
    """
    upper, lower = _parts(parser)
    rows = [
        _descriptor(picture, labels, upper, lower)
        for start in range(0, len(pictures), batch_size)
        for picture, labels in _parsed(pictures[start : start + batch_size], parser)
    ]
    return np.stack(rows) if rows else np.zeros((0, WIDTH), dtype=np.float32)


def _parsed(pictures: Sequence[UInt8], parser: ParserSession) -> Iterator[tuple[UInt8, UInt8]]:
    yield from zip(pictures, parser(pictures), strict=True)


def _parts(parser: ParserSession) -> tuple[list[int], list[int]]:
    """Label numbers of upper and of lower clothes."""
    known = next((s.clothes for s in LABEL_SETS.values() if s.labels == tuple(parser.labels)), ())
    clothes = set(known or LOWER | BOTH | {"Upper-clothes", "Coat"}) - ACCESSORIES
    lower = [i for i, name in enumerate(parser.labels) if name in clothes & (LOWER | BOTH)]
    upper = [i for i, name in enumerate(parser.labels) if name in clothes - LOWER]
    if not upper and not lower:
        raise UserError(f"Parser {parser.name} has no label of clothes.", "Describe clothes with the parser schp.")
    return upper, lower


def _descriptor(picture: UInt8, labels: UInt8, upper: list[int], lower: list[int]) -> Float32:
    import cv2

    lab = cv2.cvtColor(picture.astype(np.float32) / 255.0, cv2.COLOR_RGB2Lab)
    person = max(1, int(np.count_nonzero(labels)))
    parts = []
    for numbers in (upper, lower):
        colours: Float32 = np.asarray(lab[np.isin(labels, numbers)], dtype=np.float32)
        parts.append(_histograms(colours))
        parts.append(np.array([COVERAGE_WEIGHT * len(colours) / person], dtype=np.float32))
    return np.concatenate(parts)


def _histograms(lab: Float32) -> Float32:
    """(P, 3) pixels in CIE L*a*b* -> square roots of their histograms of lightness and of (a*, b*), each of sum 1; zeros for none."""
    light = np.zeros(LIGHT_BINS, dtype=np.float64)
    colour = np.zeros((COLOUR_BINS, COLOUR_BINS), dtype=np.float64)
    if len(lab):
        for index, weight in _shared(lab[:, 0] / 100.0, LIGHT_BINS):
            np.add.at(light, index, weight)
        a, b = ((lab[:, c] / COLOUR_RANGE + 1.0) / 2.0 for c in (1, 2))
        for i, first in _shared(a, COLOUR_BINS):
            for j, second in _shared(b, COLOUR_BINS):
                np.add.at(colour, (i, j), first * second)
        light, colour = light / light.sum(), colour / colour.sum()
    joined: Float32 = np.sqrt(np.concatenate([light, colour.ravel()])).astype(np.float32)
    return joined


def _shared(value: npt.NDArray[np.floating], bins: int) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Each value in 0..1 shared between the two bins whose centres it lies between, so that a little light moves no whole pixel."""
    place = np.clip(value.astype(np.float64) * bins - 0.5, 0.0, bins - 1.0)
    low = np.floor(place).astype(np.int64)
    share = place - low
    return [(low, 1.0 - share), (np.minimum(low + 1, bins - 1), share)]
