"""Which label set do label maps follow, when nobody said so? Told by the palette, else by the highest label, else the user is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidclip.data.foreign_maps import TWO_LABELS, holds_0_and_255, read_foreign_map
from reidclip.data.images import read_indexed_png
from reidclip.data.label_sets import LABEL_SETS, LIP, LabelSet, palette
from reidclip.data.shielding import Colour
from reidclip.errors import UserError, WorkError

SAMPLE = 64  # maps that are looked at
SAY_IT = "Say which: --label-set lip, atr, pascal, scnet, or a TOML file with labels and clothes."
_ONLY_LIP = 18  # no other known set has labels from here on
_FIRST_LIMB = 12  # every set of whole people that is not merged has limbs or faces from here on; LIP's begin at 13
# From there to 17 nothing is told: LIP's maps end there where no shoe is seen, ATR's always; a wrong guess shields the wrong parts.


@dataclass(frozen=True)
class Inferred:
    """A label set and how it was found; ``note`` is for whoever should check it, "" when it is sure."""

    label_set: LabelSet
    reason: str
    note: str = ""


def infer_label_set(files: Sequence[Path]) -> Inferred:
    """Look at some maps, evenly spread; files that cannot be read are left to whoever reads them all.

    Raises:
        UserError: the maps follow none of the known sets, or there is no telling.
    """
    chosen = sorted({round(i) for i in np.linspace(0, len(files) - 1, min(len(files), SAMPLE))}) if files else []
    seen: list[tuple[int, int, Path]] = []  # highest label, size of the palette, file
    two_valued = []
    for file in (files[index] for index in chosen):
        try:
            labels = read_foreign_map(file, LIP).labels
            seen.append((int(labels.max(initial=0)), palette_size(file), file))
        except WorkError:
            continue
        if holds_0_and_255(labels):
            two_valued.append(file)
    if two_valued and all(highest in (0, 255) for highest, _, _ in seen):
        raise UserError(f"Label map {two_valued[0]} holds 0 and 255 alone, as the others do: no known label set does.", TWO_LABELS)
    sizes = {size for _, size, _ in seen if size}  # a map that lost its palette is judged by the others
    if len(sizes) == 1:
        return _by_palette(sizes.pop(), files[0])
    return _by_highest(*max(((highest, file) for highest, _, file in seen), default=(0, Path())), len(seen), len(files))


def _by_palette(size: int, first: Path) -> Inferred:
    known = next((known for known in LABEL_SETS.values() if len(known.labels) == size), None)
    if known is None:
        raise UserError(f"The label maps have a palette of {size} labels, which is no known label set (the first is {first}).", SAY_IT)
    return Inferred(known, f"their palette has {size} colours")


def _by_highest(highest: int, file: Path, looked_at: int, count: int) -> Inferred:
    if highest >= len(LIP.labels):
        raise UserError(f"Label map {file} holds label {highest}; known are 0 to {len(LIP.labels) - 1}, whichever the label set.", SAY_IT)
    if highest >= _ONLY_LIP:
        return Inferred(LIP, f"they hold label {highest}, which LIP alone has")
    where = f"(looked at {looked_at} of {count})"
    if highest > 0:
        merged = "too few for LIP or ATR, so they were merged, or are of Pascal"
        why = merged if highest < _FIRST_LIMB else "LIP and ATR both have these, with other meanings"
        raise UserError(f"The label maps hold labels 0 to {highest} {where}: {why}.", SAY_IT)
    note = f"Nobody said which labels the label maps hold, and they show nothing but background {where}: taken as LIP."
    return Inferred(LIP, "the default", note)


def palette_size(file: Path) -> int:
    """Number of colours when the palette is a beginning of PASCAL VOC's, as SCHP writes it; 0 when it tells nothing.

    Older writers fill the palette up to 256 entries, with black or with a grey ramp.
    """
    if file.suffix == ".npy":
        return 0
    _, found = read_indexed_png(file)
    voc = palette(256)
    size = next((i for i, colour in enumerate(found) if colour != voc[i]), len(found))
    rest: tuple[Colour, ...] = found[size:]
    filled = all(colour in ((0, 0, 0), (size + i,) * 3) for i, colour in enumerate(rest))
    return size if filled and 2 < size < 256 else 0
