"""The two halves of a data set: people to train on, people to test on."""

from __future__ import annotations

TRAINING_HALF = frozenset({"train", "val", "train-detected"})
"""Splits of the training identities; every other split is for testing."""

OTHER_BOXES = frozenset({"train-detected", "query-detected", "gallery-detected"})
"""Splits that hold the pictures of other splits cut out anew (CUHK03): all pictures of a data set are those without them."""
