"""Which results stand beside a checkpoint's cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.open import open_dataset
from reidclip.stages.profile_results import results_side_by_side
from tests.fakes import tiny_clip, write_prcc


def evaluation(store: Store, checkpoint: Artifact, data: DatasetRef, **R1: float) -> None:
    with store.create("evaluation", "e") as draft:
        (draft.path / "metrics.json").write_text("{}")
        metrics = {name.replace("_", "-"): {"R1": value, "mAP": value} for name, value in R1.items()}
        draft.describe(config={}, method="baseline", dataset=data, inputs=[InputRef.of(checkpoint, "checkpoint")], metrics=metrics)


def checkpoint(store: Store, name: str, data: DatasetRef) -> Artifact:
    with store.create("checkpoint", name) as draft:
        InferenceEncoder(tiny_clip(0).image_encoder, InferenceOptions()).eval().save(draft.path)
        draft.describe(config={}, method="baseline", dataset=data)
    return draft.artifact


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def first(tmp_path: Path) -> DatasetRef:
    return DatasetRef.of(open_dataset(write_prcc(tmp_path / "data")))


@pytest.fixture
def second(first: DatasetRef) -> DatasetRef:
    return first.model_copy(update={"fingerprint": "0" * 64})


def first_ranks(store: Store, *checkpoints: Artifact, protocols: tuple[str, ...] = ()) -> list[dict[str, float]]:
    """R1 by protocol, a row per checkpoint."""
    found = results_side_by_side(checkpoints, store, protocols)
    return [{name: result.R1 for name, result in found[one.digest].items()} for one in checkpoints]


def test_results_of_two_data_sets_are_not_mixed(store: Store, first: DatasetRef, second: DatasetRef) -> None:
    c = checkpoint(store, "c", first)
    evaluation(store, c, first, same_clothes=0.5)
    evaluation(store, c, first, cloth_changing=0.25)
    assert first_ranks(store, c) == [{"same-clothes": 0.5, "cloth-changing": 0.25}]
    evaluation(store, c, second, cloth_changing=0.75)
    assert first_ranks(store, c) == [{"cloth-changing": 0.75}]
    assert first_ranks(store, c, protocols=("same-clothes",)) == [{"same-clothes": 0.5}]


def test_rows_are_of_the_data_set_that_most_share(store: Store, first: DatasetRef, second: DatasetRef) -> None:
    third = first.model_copy(update={"fingerprint": "1" * 64})
    a, b, alone, never = (checkpoint(store, name, first) for name in ("a", "b", "alone", "never"))
    evaluation(store, a, first, general=0.1)
    evaluation(store, a, second, general=0.2)
    evaluation(store, b, first, general=0.3)
    evaluation(store, b, third, general=0.4)
    evaluation(store, alone, third, other=0.5)
    evaluation(store, alone, second, other=0.6)
    assert first_ranks(store, a, b) == [{"general": 0.1}, {"general": 0.3}]
    evaluation(store, b, second, general=0.7)
    assert first_ranks(store, a, b) == [{"general": 0.2}, {"general": 0.7}]  # both data sets are shared: that evaluated last
    assert first_ranks(store, a, b, alone, never) == [{"general": 0.2}, {"general": 0.7}, {"other": 0.6}, {}]
    assert first_ranks(store, a, b, alone, protocols=("general",)) == [{"general": 0.2}, {"general": 0.7}, {}]


def test_a_checkpoint_never_evaluated_there_has_its_own_newest(store: Store, first: DatasetRef, second: DatasetRef) -> None:
    a, b, c = (checkpoint(store, name, first) for name in "abc")
    evaluation(store, c, second, general=0.3)
    evaluation(store, a, first, general=0.1)
    evaluation(store, b, first, general=0.2)
    assert first_ranks(store, a, b, c) == [{"general": 0.1}, {"general": 0.2}, {"general": 0.3}]


def test_an_evaluation_of_another_task_hides_nothing(store: Store, first: DatasetRef, second: DatasetRef) -> None:
    """Errors of bodies, as ``evaluate --task shape`` tells them, of the data that has bodies."""
    c = checkpoint(store, "c", first)
    evaluation(store, c, first, general=0.5)
    with store.create("evaluation", "c-shape") as draft:
        (draft.path / "metrics.json").write_text("{}")
        errors = {"shape, single picture": {"vertex_aligned_mm": 20.0, "vertex_aligned_mm ratio": 0.9}}
        draft.describe(config={}, method="clip3dreid", dataset=second, inputs=[InputRef.of(c, "checkpoint")], metrics=errors)
    assert first_ranks(store, c) == [{"general": 0.5}]
