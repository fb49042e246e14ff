"""The two halves of a data set: people to train on, people to test on."""

from __future__ import annotations

TRAINING_HALF = frozenset({"train", "val"})
"""Splits of the training identities; every other split is for testing."""
