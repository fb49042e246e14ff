"""Prompts and fine-tuning choose the same pictures, also where a recipe is named and where the identities are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.data.open import open_dataset
from reidclip.errors import UserError
from reidclip.stages.finetune import plan_finetune
from reidclip.stages.train_job import TrainJob
from tests.core.store_fixtures import PAYLOADS
from tests.trees import folder, table, write_pictures

ROWS = (
    *((f"{split}/{pid}-{n}.png", pid, n, pid, split) for split in ("train", "val") for pid in (3, 5) for n in range(2)),
    *((f"q/{n}.png", 1, n, 1, ("query", "gallery")[n]) for n in range(2)),
)
JOINED = ["train", "val"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set whose training and validation splits show the same people, as MSMT17's do."""
    root = tmp_path / "data"
    write_pictures(root, (str(row[0]) for row in ROWS))
    return folder(root, table(ROWS))


@pytest.fixture
def store(data: Path) -> Store:
    return Store(data.parent / "artifacts")


def learn(data: Path, store: Store, **settings: Any) -> None:
    with store.create("prompts", "learned") as draft:
        draft.write(PAYLOADS["prompts"], b"{}")
        draft.describe(method="clipreid", dataset=DatasetRef.of(open_dataset(data)), config={"settings": settings, "recipe": "tiny"})


def plan(data: Path, store: Store, *assignments: str, **options: Any) -> TrainJob:
    return plan_finetune(data, store, assignments=("identities=2", *assignments), **options)


@pytest.mark.parametrize("recipe", [None, "tiny", "market1501"])
def test_the_choice_of_pictures_is_taken_over_also_beside_a_recipe(data: Path, store: Store, recipe: str | None) -> None:
    learn(data, store, train_splits=JOINED, distractors="identity", clip="ViT-L-14:openai")
    said: list[str] = []
    job = plan(data, store, recipe=recipe, say=said.append)
    assert (job.settings.train_splits, job.settings.distractors) == (("train", "val"), "identity")
    assert {"train_splits: ['train', 'val'] (of prompts learned@v1)", "distractors: identity (of prompts learned@v1)"} <= set(said)
    assert (job.settings.clip == "ViT-L-14:openai") == (recipe is None), "which CLIP a recipe that was named says"


@pytest.mark.parametrize("by", ["recipe", "config", "set"])
def test_what_says_otherwise_itself_is_refused_with_both_values(data: Path, store: Store, by: str) -> None:
    """All of the splits here hold the same people, so that the identities of the prompts do not tell them apart."""
    learned, other = (["train"], JOINED) if by == "recipe" else (JOINED, ["train"])
    learn(data, store, train_splits=learned)
    config = data.parent / "mine.toml"
    config.write_text('[finetune]\ntrain_splits = ["train"]\n')
    options: dict[str, dict[str, Any]] = {"recipe": {"recipe": "msmt17"}, "config": {"config": config, "recipe": "tiny"}, "set": {}}
    with pytest.raises(UserError) as caught:
        plan(data, store, *(["train_splits=train"] if by == "set" else []), **options[by])
    told = {tuple(splits): "[" + ", ".join(f'"{split}"' for split in splits) + "]" for splits in (learned, other)}
    here, there = told[tuple(learned)], told[tuple(other)]
    assert caught.value.what == f"Prompts learned@v1 were learned with train_splits = {here}, these settings fine-tune with {there}."
    assert caught.value.remedy.startswith(f"Fine-tune as they were learned: --set 'train_splits={here}'")


def test_the_remedy_is_a_command_that_works(data: Path, store: Store) -> None:
    learn(data, store, train_splits=["train"], distractors="drop")
    with pytest.raises(UserError) as caught:
        plan(data, store, "distractors=identity", recipe="msmt17")
    assert "distractors" in caught.value.what and "train_splits" in caught.value.what
    words = [part.split("'")[0] for part in caught.value.remedy.split("--set '")[1:]]
    assert plan(data, store, *words, recipe="msmt17").settings.train_splits == ("train",)


def test_the_order_of_splits_and_settings_that_were_not_recorded_make_no_difference(data: Path, store: Store) -> None:
    learn(data, store, train_splits=JOINED[::-1])
    assert set(plan(data, store, recipe="msmt17").settings.train_splits) == {"train", "val"}
    learn(data, store)
    assert plan(data, store, 'train_splits=["all"]', "identities=3").settings.train_splits == ("all",)
