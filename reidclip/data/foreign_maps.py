"""Label maps made elsewhere: indexed or grey PNG, ``.npy``, and colour-coded pictures, each read as labels or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reidclip.data.images import MAX_PIXELS, UInt8, read_indexed_png, read_picture
from reidclip.data.label_sets import LabelSet, palette
from reidclip.data.shielding import Colour
from reidclip.errors import WorkError

BY_COLOUR = "If its colours, not its numbers, tell the labels: --set colours=true."
TWO_LABELS = (
    'A map of 0 and 255 is a mask of one thing: say of what, --label-set FILE.toml with labels = ["Background", "Clothes"] and '
    'clothes = ["Clothes"].'
)
_BROKEN = "Make or copy this label map again, or remove it and leave its picture out with --on-error skip."
_EIGHT_BITS = "Save label maps as 8-bit indexed or grey PNG, or as .npy of whole numbers from 0 to 255, one per pixel."
_OTHER_COLOURS = "Name the label set whose colours they are: --label-set FILE.toml with labels, clothes and colours."


@dataclass(frozen=True)
class ForeignMap:
    """A label map as it lies on disk.

    Attributes:
        labels: (H, W) uint8; not yet compared with the label set or the picture.
        coloured: the labels were read off the colours.
        other_palette: an indexed picture whose colours are not those of the label set; its numbers were taken as they are.
        two_valued: it held 0 and 255, read as the two labels of the set.
    """

    labels: UInt8
    coloured: bool = False
    other_palette: bool = False
    two_valued: bool = False


def read_foreign_map(file: Path, label_set: LabelSet, colours: bool = False) -> ForeignMap:
    """Read one map.

    Args:
        file: PNG (8-bit indexed or grey; with ``colours`` also RGB), or ``.npy`` of whole numbers.
        label_set: whose colours count.
        colours: look labels up by colour wherever the file has colours.

    Raises:
        WorkError: missing, damaged, 16-bit, scores in place of labels, colours without permission or unknown; names the file and what
            to do about it.
    """
    if file.suffix == ".npy":
        return _in_two_labels(_read_npy(file), label_set)
    try:
        labels, found = read_indexed_png(file)
    except WorkError as error:
        if "its mode is" not in error.what:
            raise WorkError(error.what, _BROKEN) from error
        if "its mode is RGB" not in error.what:  # 16 bit, CMYK
            raise WorkError(error.what, _EIGHT_BITS) from error
        if not colours:
            raise WorkError(error.what, BY_COLOUR) from error
        return ForeignMap(_labels_of_colours(read_picture(file), label_set, file), coloured=True)
    if not found:
        return _in_two_labels(labels, label_set)
    used = [int(index) for index in np.flatnonzero(np.bincount(labels.ravel(), minlength=256))]
    if colours:
        return ForeignMap(_by_palette(labels, used, found, label_set, file), coloured=True)
    return ForeignMap(labels, other_palette=_is_other_palette(used, found, label_set, file))


def holds_0_and_255(labels: UInt8) -> bool:
    """Whether a map has no other numbers than these two, as masks are often written, and has 255."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return bool(counts[255]) and not counts[1:255].any()


def _in_two_labels(labels: UInt8, label_set: LabelSet) -> ForeignMap:
    """Of a set of two labels the second is often written as 255, to be seen."""
    if len(label_set.labels) == 2 and holds_0_and_255(labels):
        return ForeignMap((labels // 255).astype(np.uint8), two_valued=True)
    return ForeignMap(labels)


def _read_npy(file: Path) -> UInt8:
    try:
        plane = np.load(file, mmap_mode="r", allow_pickle=False)  # mapped: a header that lies about the size reserves no memory
    except FileNotFoundError as error:
        raise WorkError(f"There is no label map at {file}.", _BROKEN) from error
    except (OSError, ValueError, EOFError, SyntaxError) as error:  # numpy reads headers as Python literals
        reason = str(error).splitlines()[0].rstrip(".")
        raise WorkError(f"{file} is damaged, or no NumPy file of numbers ({reason}).", _BROKEN) from error
    if not isinstance(plane, np.ndarray) or plane.ndim != 2 or plane.dtype.kind not in "iub" or plane.size > MAX_PIXELS:
        shape, kind = getattr(plane, "shape", "?"), getattr(plane, "dtype", "?")
        what = f"{file} is no label map: it holds {kind} {shape}, not one whole number per pixel (scores need an arg max)."
        raise WorkError(what, _EIGHT_BITS)
    if plane.size and (int(plane.min()) < 0 or int(plane.max()) > 255):
        raise WorkError(f"{file} is no label map: its numbers run from {int(plane.min())} to {int(plane.max())}.", _EIGHT_BITS)
    return np.asarray(plane, dtype=np.uint8)


def _labels_of_colours(picture: UInt8, label_set: LabelSet, file: Path) -> UInt8:
    """(H, W, 3) of the palette's colours alone -> (H, W)."""
    codes = _codes(picture)
    known = _codes(np.array(label_set.palette, np.uint8))
    order = np.argsort(known)
    place = np.searchsorted(known[order], codes).clip(max=len(known) - 1)
    labels: npt.NDArray[np.int64] = order[place]
    wrong = known[labels] != codes
    if wrong.any():
        y, x = (int(v) for v in np.argwhere(wrong)[0])
        colour = tuple(int(v) for v in picture[y, x])
        what = f"{file} holds the colour {colour} (column {x}, row {y}), which is none of the label set '{label_set.name}'."
        raise WorkError(what, _OTHER_COLOURS)
    return np.asarray(labels, np.uint8)


def _codes(colours: UInt8) -> npt.NDArray[np.int64]:
    red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
    codes: npt.NDArray[np.int64] = red << 16 | green << 8 | blue
    return codes


def _by_palette(labels: UInt8, used: Sequence[int], found: Sequence[Colour], label_set: LabelSet, file: Path) -> UInt8:
    table = np.zeros(256, np.uint8)
    for index in used:
        colour = found[index] if index < len(found) else None
        if colour not in label_set.palette:
            what = f"{file} holds the colour {colour} (number {index}), which is none of the label set '{label_set.name}'."
            raise WorkError(what, f"{_OTHER_COLOURS} Or, where the numbers tell the labels, leave --set colours=true out.")
        table[index] = label_set.palette.index(colour)
    return np.asarray(table[labels], np.uint8)


def _is_other_palette(used: Sequence[int], found: Sequence[Colour], label_set: LabelSet, file: Path) -> bool:
    """Whether the colours are unknown, so that nothing confirms the numbers. Known colours in another order are refused."""
    shown = [found[index] if index < len(found) else None for index in used]
    plain = (palette(256), label_set.palette, tuple((i, i, i) for i in range(256)))
    if any(all(index < len(colours) and colours[index] == colour for index, colour in zip(used, shown, strict=True)) for colours in plain):
        return False
    for index, colour in zip(used, shown, strict=True):
        if index < len(label_set.palette) and colour != label_set.palette[index] and all(c in label_set.palette for c in shown):
            raise WorkError(
                f"{file} is an indexed picture whose colours were reordered: number {index} has the colour of another label.", BY_COLOUR
            )
    return True
