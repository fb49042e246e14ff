"""A protocol of generalisation looks at all that a checkpoint was made from: splits, copies of a target, weights from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reidclip.artifacts.manifest import DatasetRef
from reidclip.data.open import open_dataset
from tests.cli.in_process import CommandLine
from tests.cli.layout_trees import TREES
from tests.cli.test_evaluate_several import Place

SOURCES = ("msmt17", "cuhk03", "cuhk_sysu")  # of dg-2:market1501
PROTOCOL = ("--protocol", "dg-2:market1501")


def joined(*layouts: str, **of_first: Any) -> DatasetRef:
    """Data sets that lie nowhere; ``of_first`` changes what the first says of itself."""
    one = DatasetRef(layout="", root="", fingerprint="", samples=1, splits={"train": 1})
    parts = [one.model_copy(update={"layout": name, "root": f"/data/{n}", "fingerprint": str(n)}) for n, name in enumerate(layouts)]
    parts[0] = parts[0].model_copy(update=of_first)
    sources = {f"set-{number}": part for number, part in enumerate(parts)}
    return one.model_copy(update={"layout": "joined", "root": "/data", "fingerprint": "joined", "sources": sources})


@pytest.fixture
def place(tmp_path: Path, reidclip: CommandLine) -> Place:
    return Place(tmp_path, reidclip)


@pytest.fixture
def target(place: Place) -> Path:
    return TREES["market1501"].write(place.folder / "sets" / "market")


@pytest.mark.parametrize("splits", [["train", "val"], ["all"]])
def test_prompts_of_other_splits_are_refused(place: Place, target: Path, splits: list[str]) -> None:
    prompts = place.prompts(joined(*SOURCES), train_splits=splits)
    place.checkpoint(joined(*SOURCES), prompts)
    error = place.run(target, *PROTOCOL, code=2).err
    assert "Checkpoint mine@v1 is not trained for protocol dg-2:market1501. Its prompts mine@v1: It was trained on the splits " in error
    assert f"the splits {', '.join(splits)}; the protocol trains on the training split of its sources alone." in error
    assert "reidclip prompt-learn" in error and not place.store.list("evaluation")


def test_so_are_prompts_of_other_sources(place: Place, target: Path) -> None:
    place.checkpoint(joined(*SOURCES), place.prompts(joined(*SOURCES, "ltcc")))
    assert "Its prompts mine@v1: Source ltcc is none of its sources." in place.run(target, *PROTOCOL, code=2).err


def test_prompts_of_the_same_splits_are_none_of_its_concern(place: Place, target: Path) -> None:
    place.checkpoint(joined(*SOURCES), place.prompts(joined(*SOURCES), train_splits=["train"]))
    assert place.json(target, *PROTOCOL)["summary"]["protocol"] == "dg-2:market1501"


def test_a_source_that_is_there_twice_is_refused(place: Place, target: Path) -> None:
    place.checkpoint(joined(*SOURCES, "msmt17", "msmt17"))
    error = place.run(target, *PROTOCOL, code=2).err
    assert "protocol dg-2:market1501. Source msmt17 was joined 3 times.\n" in error


@pytest.mark.parametrize("how", ["copied elsewhere", "same folder", "folder above", "folder below"])
@pytest.mark.parametrize("by", ["checkpoint", "prompts"])
def test_a_target_that_was_trained_on_as_another_data_set_is_refused(place: Place, target: Path, how: str, by: str) -> None:
    """Its layout is that of a source, so that the data itself, or where it lies, is all that tells."""
    roots = {"same folder": target, "folder above": target.parent, "folder below": target / "query"}
    told: dict[str, Any] = {"root": str(roots[how])} if how in roots else {"fingerprint": open_dataset(target).fingerprint}
    disguised, plain = joined(*SOURCES, **told), joined(*SOURCES)
    place.checkpoint(plain if by == "prompts" else disguised, *([place.prompts(disguised)] if by == "prompts" else []))
    error = place.run(target, *PROTOCOL, code=2).err
    root = told.get("root", "/data/0")
    assert f"dg-2:market1501, but {by} mine@v1 was made from it: source set-0 (msmt17) at {root}." in error


def test_a_neighbour_of_the_target_is_not_the_target(place: Place, target: Path) -> None:
    place.checkpoint(joined(*SOURCES, root=f"{target}-2", fingerprint="other"))
    assert place.json(target, *PROTOCOL)["summary"]["targets"]


class TestWeightsFromAFile:
    @pytest.mark.parametrize("clip", ["tuned.safetensors", "old/tuned.pt::ViT-B-16", "resnet50:mine.pth", "blip:here", "models/hub"])
    def test_are_told_and_kept_in_the_summary(self, place: Place, target: Path, clip: str) -> None:
        prompts = place.prompts(joined(*SOURCES), clip=clip)
        made = place.checkpoint(joined(*SOURCES), prompts, settings={"clip": clip})
        run = place.run(target, *PROTOCOL, "--json")
        file = clip.removesuffix("::ViT-B-16").removeprefix("resnet50:").removeprefix("blip:")
        told = f"checkpoint {made.ref} and prompts {prompts.ref} began with the weights in {file}, and nothing says whether"
        assert run.err.count(f"note: {told} those saw the targets") == 1
        (kept,) = (note for note in run.json["summary"]["notes"] if "weights" in note)
        assert kept.startswith(told)
        artifact = place.store.open(f"evaluation/{run.json['artifact']}")
        assert kept in artifact.manifest.notes and kept in artifact.file("summary.json").read_text(encoding="utf-8")

    @pytest.mark.parametrize("clip", ["reidclip-tiny", "ViT-B-16:openai", "ViT-B/16:openai", "random:blip", "resnet50:imagenet"])
    def test_a_model_that_has_a_name_is_not(self, place: Place, target: Path, clip: str) -> None:
        place.checkpoint(joined(*SOURCES), settings={"clip": clip})
        assert "weights" not in place.run(target, *PROTOCOL).err

    def test_a_plain_clip_from_a_file_may_have_seen_anything(self, place: Place, target: Path) -> None:
        run = place.run(target, *PROTOCOL, *place.zero, "--json")
        assert any("tiny.safetensors, and nothing says whether those saw the targets" in note for note in run.json["summary"]["notes"])
        assert "a plain CLIP was trained on none" in " ".join(run.json["summary"]["notes"])


def test_what_is_gone_is_kept_in_the_summary_too(place: Place, target: Path) -> None:
    prompts = place.prompts(joined(*SOURCES))
    made = [place.checkpoint(joined(*SOURCES), prompts, seed=seed) for seed in (0, 1)]
    place.store.remove(prompts, force=True)
    run = place.run(target, *PROTOCOL, "--checkpoint", made[0].ref, "--seeds", "0,1", "--json")
    gone = "its prompts mine@v1 is no longer in the store as it was, so nothing says whether it saw the targets"
    assert run.json["summary"]["notes"].count(gone) == 1 == run.err.count(gone)
