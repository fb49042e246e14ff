"""The probe for attributes of rendered people: what it can read, what it cannot, and its faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from attribute_probe import accuracy

from tests.fakes import REPOSITORY

PEOPLE, PICTURES, WIDTH, CLASSES = 50, 8, 64, 4


def people_and_labels(seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    of_person = rng.permutation(np.arange(PEOPLE) % CLASSES)
    return np.repeat(np.arange(PEOPLE), PICTURES), np.repeat(of_person, PICTURES), rng


def test_a_label_that_the_features_tell_is_read() -> None:
    people, labels, rng = people_and_labels(0)
    directions = rng.standard_normal((CLASSES, WIDTH))
    features = directions[labels] + 0.3 * rng.standard_normal((len(labels), WIDTH))
    assert accuracy(features, labels, people, CLASSES) > 0.95


def test_who_somebody_is_does_not_answer_for_others() -> None:
    """Features that tell people apart perfectly, and nothing else: a probe that was asked about its own people would be right each time."""
    people, labels, rng = people_and_labels(1)
    features = np.eye(PEOPLE, WIDTH)[people] + 0.01 * rng.standard_normal((len(labels), WIDTH))
    assert accuracy(features, labels, people, CLASSES) < 0.5


def test_features_of_any_length_give_the_same() -> None:
    people, labels, rng = people_and_labels(2)
    features = rng.standard_normal((CLASSES, WIDTH))[labels] + rng.standard_normal((len(labels), WIDTH))
    lengths = rng.uniform(0.1, 10, (len(labels), 1))
    assert accuracy(features, labels, people, CLASSES) == accuracy(features * lengths, labels, people, CLASSES)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    program = REPOSITORY / "examples" / "ablation" / "attribute_probe.py"
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "table.json"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "attributes.jsonl" in done.stderr and "Traceback" not in done.stderr
