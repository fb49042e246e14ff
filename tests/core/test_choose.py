"""Which inputs the commands take when they are not named, and what they refuse before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.cli.options import assignments
from reidclip.data.open import open_dataset
from reidclip.data.open_several import open_datasets
from reidclip.errors import UserError
from reidclip.lazy_method import LazyMethod
from reidclip.settings import parse_assignments
from reidclip.stages.choose import recipe_for, settings_for
from reidclip.stages.evaluate import plan_evaluate
from reidclip.stages.finetune import plan_finetune
from reidclip.stages.prompt_learn import plan_prompt_learn
from reidclip.stages.train_job import training_samples
from reidclip.train.settings import FinetuneSettings
from tests.core.store_fixtures import PAYLOADS
from tests.fakes import write_prcc

SMALL = ("identities=2",)


@dataclass
class Place:
    """A store and two data sets of equal layout; what the commands said."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.folder / "artifacts")
        self.first, self.second = (write_prcc(self.folder / name) for name in ("first", "second"))
        next(self.second.rglob("A_*.jpg")).unlink()

    def make(self, kind: str, name: str, data: Path, of: DatasetRef | None = None, **facts: Any) -> Artifact:
        with self.store.create(kind, name) as draft:
            draft.write(PAYLOADS[kind], b"{}")
            draft.describe(dataset=of or DatasetRef.of(open_dataset(data)), **facts)
        return draft.artifact

    def finetune(self, data: Path | None = None, **options: Any) -> Any:
        return plan_finetune(data, self.store, say=self.said.append, **{"assignments": SMALL, **options})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_prompts_named_bring_their_data(place: Place) -> None:
    wanted = place.make("prompts", "wanted", place.first, method="clipreid", config={"recipe": "prcc"})
    place.make("prompts", "newer", place.second, method="clipreid")
    job = place.finetune(prompts="wanted")
    assert job.dataset.root == place.first and job.inputs["prompts"].digest == wanted.digest
    assert job.recipe == "prcc" and "recipe: prcc (of prompts wanted@v1)" in place.said


def test_masks_named_bring_their_data(place: Place) -> None:
    place.make("masks", "wanted", place.first)
    place.make("masks", "newer", place.second)
    job = plan_prompt_learn(None, place.store, masks="wanted")
    assert job.dataset.root == place.first and job.inputs["masks"].name == "wanted"


def test_an_artifact_named_by_its_path_may_lie_in_another_store(place: Place) -> None:
    elsewhere = Store(place.folder / "elsewhere")
    with elsewhere.create("prompts", "far") as draft:
        draft.write(PAYLOADS["prompts"], b"{}")
        draft.describe(dataset=DatasetRef.of(open_dataset(place.first)), method="clipreid")
    job = place.finetune(prompts=str(draft.artifact.path))
    assert job.method.name == "clipreid" and job.inputs["prompts"].path == draft.artifact.path


def test_the_method_is_that_of_the_newest_prompts_of_this_data(place: Place) -> None:
    place.make("prompts", "here", place.first, method="clipreid")
    place.make("prompts", "there", place.second, method="ccaf")
    assert place.finetune(place.first).method.name == "clipreid"


def test_the_recipe_is_that_of_the_methods_own_prompts(place: Place) -> None:
    place.make("prompts", "a", place.first, method="clipreid", config={"recipe": "rn50"})
    place.make("prompts", "b", place.first, method="ccaf", config={"recipe": "tiny"})
    assert place.finetune(place.first, method="clipreid").recipe == "rn50"


def test_the_newest_checkpoint_of_this_data_is_evaluated(place: Place) -> None:
    place.make("checkpoint", "here", place.first)
    place.make("checkpoint", "there", place.second)
    assert plan_evaluate(place.first, place.store, say=place.said.append).checkpoint.name == "here"  # type: ignore[union-attr]
    assert plan_evaluate(None, place.store).dataset.root == place.second


def test_a_checkpoint_of_other_data_has_to_be_named(place: Place) -> None:
    place.make("checkpoint", "there", place.second)
    with pytest.raises(UserError, match=rf"No checkpoint in .* was trained on {place.first} as it is; the newest, there@v1, was") as caught:
        plan_evaluate(place.first, place.store)
    assert str(place.second) in caught.value.what and "--checkpoint there@v1" in caught.value.remedy
    assert plan_evaluate(place.first, place.store, checkpoint="there@v1").checkpoint.name == "there"  # type: ignore[union-attr]


def test_a_checkpoint_of_which_the_data_is_one_source_is_found(place: Place) -> None:
    both = DatasetRef.of(open_datasets((place.first, place.second)))
    place.make("checkpoint", "alone", place.first)
    place.make("checkpoint", "joined", place.first, of=both)
    for root in (place.first, place.second):
        assert plan_evaluate(root, place.store).checkpoint.name == "joined"  # type: ignore[union-attr]
    place.make("checkpoint", "later", place.first)
    assert plan_evaluate(place.first, place.store).checkpoint.name == "later"  # type: ignore[union-attr]
    third = write_prcc(place.folder / "third")
    next(third.rglob("C_*.jpg")).unlink()
    place.make("checkpoint", "last", place.first, of=both)
    with pytest.raises(UserError, match=f"the newest, last@v1, was trained on {place.first} [+] {place.second}[.]"):
        plan_evaluate(third, place.store)


def test_a_checkpoint_of_the_data_as_it_was_has_to_be_named(place: Place) -> None:
    place.make("checkpoint", "before", place.first)
    picture = next(path for path in sorted(place.first.rglob("*.jpg")))
    picture.write_bytes(picture.read_bytes() + b"0")
    with pytest.raises(UserError, match="the newest, before@v1, was trained on"):
        plan_evaluate(place.first, place.store)


def test_a_protocol_named_twice_is_evaluated_once(place: Place) -> None:
    place.make("checkpoint", "here", place.first)
    job = plan_evaluate(place.first, place.store, protocols=("cloth-changing", "same-clothes", "cloth-changing"))
    assert [p.name for p in job.protocols] == ["cloth-changing", "same-clothes"]


@pytest.mark.parametrize("role", ["prompts", "masks"])
def test_an_input_that_is_not_read_is_refused(place: Place, role: str) -> None:
    place.make(role, "unread", place.first)
    with pytest.raises(UserError, match=f"'baseline' reads no {role} under these settings"):
        place.finetune(place.first, method="baseline", **{role: "unread"})


def test_a_batch_of_more_identities_than_there_are_is_refused_at_once(place: Place) -> None:
    with pytest.raises(UserError, match=r"A batch takes 5 identities, the training split of .* has 4") as caught:
        place.finetune(place.first, method="baseline", assignments=("identities=5",))
    assert "--set identities=4" in caught.value.remedy
    assert place.finetune(place.first, method="baseline", assignments=("identities=4",)).settings.identities == 4


def test_training_pictures_of_nobody_are_refused(place: Place) -> None:
    dataset = open_dataset(place.first)
    strangers = tuple(replace(s, pid=-1) if i == 0 else s for i, s in enumerate(dataset.samples))
    with pytest.raises(UserError, match=f"1 training pictures have no identity; the first is {strangers[0].path}"):
        training_samples(replace(dataset, samples=strangers))


def test_a_method_without_recipes_trains_by_its_defaults(tmp_path: Path) -> None:
    method = LazyMethod("bare", "No recipes", "1", "nowhere", tmp_path, {"finetune": FinetuneSettings})
    said: list[str] = []
    assert recipe_for(method, None, said.append) is None
    assert said == ["recipe: none (method bare has no 'tiny'; the defaults of its settings hold)"]
    assert settings_for(method, "finetune", None, None, {"epochs": 3}) == FinetuneSettings(epochs=3)
    with pytest.raises(UserError, match="has no recipe 'prcc'"):
        settings_for(method, "finetune", "prcc", None, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 3", r"'epochs' stands outside any table"),
        ("[fintune]\nepochs = 3", r"No command reads a table \[fintune\]"),
        ("[finetune]\nepoch = 3", r"unknown key 'epoch'. Did you mean 'epochs'"),
    ],
)
def test_no_line_of_a_settings_file_is_left_unread(place: Place, text: str, message: str) -> None:
    config = place.folder / "mine.toml"
    config.write_text(text)
    with pytest.raises(UserError, match=message):
        place.finetune(place.first, method="baseline", config=config)


@pytest.mark.parametrize("path", ["ViT-B-16:openai", r"C:\models\new.safetensors", 'a "quoted" name.pt', "gewölbe/größe.pt"])
def test_clip_reaches_the_settings_as_it_was_typed(path: str) -> None:
    assert parse_assignments(assignments(["epochs=3"], path)) == {"epochs": 3, "clip": path}
