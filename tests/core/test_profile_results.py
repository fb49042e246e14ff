"""Which results stand beside a checkpoint's cost."""

from __future__ import annotations

from pathlib import Path

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.open import open_dataset
from reidclip.stages.profile import results_of
from tests.fakes import tiny_clip, write_prcc


def evaluation(store: Store, checkpoint: Artifact, data: DatasetRef, **R1: float) -> None:
    with store.create("evaluation", "e") as draft:
        (draft.path / "metrics.json").write_text("{}")
        metrics = {name.replace("_", "-"): {"R1": value, "mAP": value} for name, value in R1.items()}
        draft.describe(config={}, method="baseline", dataset=data, inputs=[InputRef.of(checkpoint, "checkpoint")], metrics=metrics)


def test_results_of_two_data_sets_are_not_mixed(tmp_path: Path) -> None:
    first = DatasetRef.of(open_dataset(write_prcc(tmp_path / "data")))
    second = first.model_copy(update={"fingerprint": "0" * 64})
    store = Store(tmp_path / "artifacts")
    with store.create("checkpoint", "c") as draft:
        InferenceEncoder(tiny_clip(0).image_encoder, InferenceOptions()).eval().save(draft.path)
        draft.describe(config={}, method="baseline", dataset=first)
    checkpoint = draft.artifact
    evaluation(store, checkpoint, first, same_clothes=0.5)
    evaluation(store, checkpoint, first, cloth_changing=0.25)
    assert {name: result.R1 for name, result in results_of(checkpoint, store).items()} == {"same-clothes": 0.5, "cloth-changing": 0.25}
    evaluation(store, checkpoint, second, cloth_changing=0.75)
    assert {name: result.R1 for name, result in results_of(checkpoint, store).items()} == {"cloth-changing": 0.75}
