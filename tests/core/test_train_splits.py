"""Which splits are trained on: the setting train_splits, from the recipe to the label map, and what is told when it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reidclip.artifacts.store import Store
from reidclip.data.open import open_dataset
from reidclip.data.training_samples import training_samples
from reidclip.errors import UserError
from reidclip.stages.finetune import finetune, plan_finetune
from reidclip.stages.prompt_learn import plan_prompt_learn
from reidclip.stages.train_job import labels_of
from tests.fakes import write_tiny_clip
from tests.trees import folder, table, write_pictures

ROWS = (
    *((f"t/{pid}-{n}.png", pid, n % 2, pid, "train") for pid in (3, 5) for n in range(2)),
    *((f"v/{pid}-{n}.png", pid, n % 2, pid, "val") for pid in (5, 8) for n in range(2)),
    *((f"q/{n}.png", 1, n, 1, ("query", "gallery")[n]) for n in range(2)),
)
SMALL = ("height=32", "width=16", "epochs=1", "identities=3", "images_per_identity=2", "pad=2")
JOINED = 'train_splits=["train", "val"]'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    write_pictures(root, (str(row[0]) for row in ROWS))
    return folder(root, table(ROWS))


def plan(data: Path, *assignments: str, **options: Any) -> Any:
    return plan_finetune(data, Store(data.parent / "artifacts"), method="baseline", assignments=assignments, **options)


def test_splits_are_joined_in_the_order_of_the_data(data: Path) -> None:
    dataset = open_dataset(data)
    assert [s.split for s in training_samples(dataset)] == ["train"] * 4
    joined = training_samples(dataset, ("val", "train"))
    assert [s.path for s in joined] == [s.path for s in dataset.samples if s.split in ("train", "val")] and len(joined) == 8
    assert training_samples(dataset, ("train", "train")) == training_samples(dataset)


def test_the_plan_the_labels_and_the_run_follow_the_setting(data: Path) -> None:
    plain, joined = plan(data, "identities=2"), plan(data, "identities=2", JOINED)
    assert [job.plan()["data"]["training pictures"] for job in (plain, joined)] == [4, 8]
    assert labels_of(plain)[1].pids == {3: 0, 5: 1}
    assert labels_of(joined)[1].pids == {3: 0, 5: 1, 8: 2}
    assert plain.key != joined.key, "an interrupted run must not go on with other pictures"


def test_batches_are_checked_against_the_joined_splits(data: Path) -> None:
    with pytest.raises(UserError, match=r"A batch takes 3 identities, the training split of .* has 2"):
        plan(data, "identities=3")
    assert plan(data, "identities=3", JOINED).settings.train_splits == ("train", "val")


def test_a_training_on_joined_splits_writes_what_it_read(data: Path) -> None:
    clip = write_tiny_clip(data.parent / "tiny.safetensors")
    job = plan(data, *SMALL, JOINED, f'clip="{clip}"', device="cpu", workers=0)
    artifact = finetune(job)
    assert artifact is not None
    config = artifact.manifest.config
    assert config["settings"]["train_splits"] == ["train", "val"] and config["data"]["training pictures"] == 8


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            '["train", "valid"]',
            r"train_splits names 'valid', but .* has no pictures of such a split \(splits: gallery, query, train, val\)",
        ),
        ("[]", r"key 'train_splits': "),
        ("3", r"key 'train_splits': "),
    ],
)
def test_wrong_splits_are_told_before_anything_is_loaded(data: Path, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(data, "identities=2", f"train_splits={value}")


def test_a_recipe_for_other_data_is_noted_and_used(data: Path) -> None:
    said: list[str] = []
    store = Store(data.parent / "artifacts")
    job = plan_prompt_learn(data, store, method="clipreid", recipe="ltcc", say=said.append)
    assert job.recipe == "ltcc" and job.settings.clip == "ViT-B-16:openai"
    assert f"note: recipe ltcc is for ltcc data; {data} is read as folder" in said
    said.clear()
    plan_prompt_learn(data, store, method="clipreid", recipe="rn50", say=said.append)
    assert not [text for text in said if "recipe" in text]


def test_the_recipes_of_msmt17_train_on_both(data: Path) -> None:
    job = plan_prompt_learn(data, Store(data.parent / "artifacts"), method="clipreid", recipe="msmt17")
    assert job.plan()["data"]["training pictures"] == 8
