"""The two halves of a data set: people to train on, people to test on."""

from __future__ import annotations

from collections.abc import Iterable

TRAINING_HALF = frozenset({"train", "val", "train-detected"})
"""Splits of the training identities; every other split is for testing."""

OTHER_BOXES = frozenset({"train-detected", "query-detected", "gallery-detected"})
"""Splits that hold the pictures of other splits cut out anew (CUHK03): all pictures of a data set are those without them."""


_DETECTED = "-detected"
_CLASSIC = ("classic-labelled-", "classic-detected-")


def in_all_boxes(splits: Iterable[str]) -> frozenset[str]:
    """The splits and those that hold the same photographs in other boxes: "train" with "train-detected", and the other way round.

    "all" brings the other boxes of both halves. Random divisions of one kind of boxes ("classic-labelled-0") have a twin of the other.
    """
    named = set(splits)
    swapped = {split.replace(one, other) for split in named for one, other in (_CLASSIC, _CLASSIC[::-1]) if split.startswith(one)}
    plain = {split for split in (split.removesuffix(_DETECTED) for split in named) if f"{split}{_DETECTED}" in OTHER_BOXES}
    detected = OTHER_BOXES if "all" in named else {f"{split}{_DETECTED}" for split in plain}
    return frozenset(named | swapped | plain | detected)
