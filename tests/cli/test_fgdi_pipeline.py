"""Method fgdi from the command line: tokens and a warmed encoder of two data sets, fine-tuning from them, a third data set as target."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from reidclip.artifacts.store import Store
from reidclip.errors import InterruptedRunError
from reidclip.stages.prompt_learn import plan_prompt_learn, prompt_learn
from reidclip.stages.synth import synth
from tests import trees
from tests.cli.in_process import CommandLine, assigned, beside_a_tiny_clip
from tests.cli.layout_trees import TREES

SIZE = ("height=32", "width=16")
BATCH = ("identities=4", "images_per_identity=2", "pad=2")
WARM = ("warm_epochs=1", "warm_up.identities=4", "warm_up.images_per_identity=2", "warm_up.pad=2", "epochs=2", "domain_epochs=1")
CUHK03 = [("bounding_box_train", pid, camera) for pid in (1, 2, 3) for camera in (1, 2)] + [
    ("query", 4, 1), ("bounding_box_test", 4, 2), ("bounding_box_test", 5, 1)
]  # fmt: skip
CLIP = ("--clip", "tiny.safetensors", "--workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small rendered sets, whose people and cameras have the same numbers."""
    folder = tmp_path_factory.mktemp("domains")
    for seed, name in enumerate(("east", "north", "south")):
        synth(folder / name, layout="market1501", ids=8, test_ids=4, images_per_camera=1, cameras=3, size=(32, 16), seed=seed, workers=1)
    return folder


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, rendered: Path) -> CommandLine:
    """The command line beside the sets and a tiny CLIP."""
    for folder in rendered.iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def test_three_steps_from_two_sources_to_a_third(reidclip: CommandLine, tmp_path: Path) -> None:
    learned = reidclip("prompt-learn", "south", "north", "--method", "fgdi", *CLIP, *assigned(*SIZE, *WARM), "--json").json
    tensors = load_file(Path(learned["path"]) / "prompts.safetensors")
    assert {"identity.context", "identity.text", "domain.context", "identity.relevant"} < tensors.keys()
    assert len(tensors["identity.text"]) == len(tensors["identity.relevant"]) == 8 and len(tensors["domain.context"]) == 2
    assert any(name.startswith("model.encoder.") for name in tensors)
    told = reidclip("finetune", *assigned(*BATCH, "epochs=1"), "--workers", "0", "--device", "cpu").err  # size and data: the prompts'
    assert "height: 32 (of prompts" in told and "width: 16 (of prompts" in told
    other = reidclip("finetune", *assigned("height=64", *BATCH), "--method", "fgdi", "--dry-run")
    assert "height:" not in other.err and "width: 16 (of prompts" in other.err, "what is given is told by nobody else"
    assert other.json["settings"]["height"] == 64
    made = Store(tmp_path / "artifacts").newest("checkpoint")
    assert made is not None and made.manifest.method == "fgdi"
    assert made.manifest.dataset is not None and set(made.manifest.dataset.sources) == {"north", "south"}
    result = reidclip("evaluate", "east", "--checkpoint", made.ref, "--workers", "0", "--json")
    assert result.json["metrics"]["general"]["queries"] > 0
    assert "another data set" in result.err


def test_an_interrupted_prompt_learning_goes_on_in_its_stage(reidclip: CommandLine, tmp_path: Path) -> None:
    """Whichever stage was cut, the warmed encoder and the features made of it are the same afterwards."""
    settings = (*SIZE, *WARM, 'clip="tiny.safetensors"')
    roots = [Path("north"), Path("south")]

    def tensors(store: Store, cut: str | None) -> dict[str, bytes]:
        def stop(what: str, done: int, total: int) -> None:
            if cut is not None and what.endswith(cut):
                raise KeyboardInterrupt

        job = plan_prompt_learn(roots, store, method="fgdi", assignments=settings, workers=0, device="cpu", save_seconds=0.0)
        if cut is not None:
            with pytest.raises(InterruptedRunError):
                prompt_learn(job, stop)
        made = prompt_learn(job)
        assert made is not None
        found = load_file(made.path / "prompts.safetensors")
        return {name: value.numpy().tobytes() for name, value in found.items()}

    whole = tensors(Store(Path("whole")), None)
    for cut in ("1/3", "2/3", "3/3"):
        assert tensors(Store(Path(f"cut-{cut[0]}")), cut) == whole, cut


def test_finetuning_other_sources_with_these_prompts_is_refused(reidclip: CommandLine) -> None:
    reidclip("prompt-learn", "south", "north", "--method", "fgdi", *CLIP, *assigned(*SIZE, *WARM))
    error = reidclip("finetune", "south", "east", "--method", "fgdi", "--prompts", "fgdi-north-south", "--workers", "0", code=2).err
    assert "made from other data" in error and "east" in error


def test_one_data_set_is_refused(reidclip: CommandLine) -> None:
    error = reidclip("prompt-learn", "south", "--method", "fgdi", *CLIP, *assigned(*SIZE, *WARM), code=2).err
    assert "all of one" in error and "Give it several data sets" in error


@pytest.mark.parametrize(("protocol", "splits"), [("dg-2:market1501", ()), ("dg-3:market1501", ('train_splits=["all"]',))])
def test_a_protocol_of_generalisation_from_training_to_table(
    reidclip: CommandLine, tmp_path: Path, protocol: str, splits: tuple[str, ...]
) -> None:
    sources = [TREES["msmt17"].write(tmp_path / "msmt17"), trees.cuhk_sysu(tmp_path / "cuhk_sysu"), tmp_path / "cuhk03"]
    people = [f"{place}/{pid:04d}_c{camera}_{pid}.png" for place, pid, camera in CUHK03]
    trees.write_pictures(tmp_path / "cuhk03", [f"{boxes}/{name}" for boxes in ("labeled", "detected") for name in people])
    reidclip("prompt-learn", *sources, "--method", "fgdi", *CLIP, *assigned(*SIZE, *WARM, *splits))
    reidclip("finetune", *assigned(*BATCH, "epochs=1"), "--workers", "0", "--device", "cpu")
    told = reidclip("evaluate", "east", "--protocol", protocol, "--workers", "0", "--json").json["summary"]
    assert told["protocol"] == protocol
    (row,) = [target for target in told["targets"] if target["target"] == "east"]
    assert 0 <= row["R1"] <= 1
    other = "dg-3" if protocol.startswith("dg-2") else "dg-2"
    error = reidclip("evaluate", "east", "--protocol", f"{other}:market1501", "--workers", "0", code=2).err
    assert f"not trained for protocol {other}:market1501" in error and "train_splits" in error
    error = reidclip("evaluate", *sources[:1], "--protocol", protocol, "--workers", "0", code=2).err
    assert "which is no target of protocol" in error
