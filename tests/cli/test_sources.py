"""Several data sets as one training set, on the command line: from the plan over an interrupted run to what its manifest tells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from reidclip.artifacts.store import Store
from reidclip.errors import InterruptedRunError
from reidclip.stages.finetune import finetune, plan_finetune
from reidclip.stages.synth import synth
from tests.cli.in_process import CommandLine, assigned, beside_a_tiny_clip

SIZE = ("height=32", "width=16")
SETTINGS = (*SIZE, "epochs=2", "identities=4", "images_per_identity=2", "pad=2", "sie_camera=true", "balance_domains=true")
SMALL = assigned(*SIZE, "epochs=1")
CLIP = ("--clip", "tiny.safetensors", "--workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small rendered sets of different layouts, whose people and cameras have the same numbers."""
    folder = tmp_path_factory.mktemp("sources")
    for name, layout, ids, test in (("north", "market1501", 8, 4), ("south", "prcc", 6, 2)):
        synth(folder / name, layout=layout, ids=ids, test_ids=test, images_per_camera=2, size=(32, 16), seed=ids, workers=1)
    return folder


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, rendered: Path) -> CommandLine:
    """The command line beside the two sets and a tiny CLIP."""
    for name in ("north", "south"):
        shutil.copytree(rendered / name, tmp_path / name)
    return beside_a_tiny_clip(monkeypatch, capsys, tmp_path)


def test_a_balanced_batch_of_fewer_identities_than_data_sets_is_refused(reidclip: CommandLine, tmp_path: Path) -> None:
    synth(tmp_path / "west", layout="market1501", ids=4, test_ids=2, images_per_camera=2, size=(32, 16), seed=3, workers=1)
    small = assigned(*SIZE, "identities=2", "images_per_identity=2", "balance_domains=true")
    error = reidclip("finetune", "south", "north", "west", "--method", "baseline", *CLIP, *small, "--dry-run", code=2).err
    assert "A balanced batch takes at least one identity of each of 3 data sets, and a batch has 2 in all." in error
    assert "--set identities=3" in error


def test_the_plan_tells_every_source(reidclip: CommandLine, tmp_path: Path) -> None:
    told = reidclip("finetune", "south", "north", "--method", "baseline", *CLIP, *assigned(*SETTINGS), "--dry-run").json
    assert told["writes"] == "checkpoint/baseline-north-south"
    assert told["data"]["layout"] == "joined" and told["data"]["training pictures"] == 36 + 24
    assert told["data"]["sources"] == {
        "north": {"root": str(tmp_path / "north"), "layout": "market1501", "identities": 4, "cameras": 6, "training pictures": 36},
        "south": {"root": str(tmp_path / "south"), "layout": "prcc", "identities": 4, "cameras": 3, "training pictures": 24},
    }


def test_a_run_over_two_sources_goes_on_after_an_interruption_to_the_same_bits(reidclip: CommandLine, tmp_path: Path) -> None:
    words = ("finetune", "--method", "baseline", *CLIP, *assigned(*SETTINGS))
    whole = reidclip(*words, "north", "south", "--store", "whole")
    assert "wrote checkpoint/baseline-north-south@v1" in whole.out

    def stop(what: str, done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    assignments = (*SETTINGS, 'clip="tiny.safetensors"')
    roots, store = [Path("north"), Path("south")], Store(Path("cut"))
    job = plan_finetune(roots, store, method="baseline", assignments=assignments, device="cpu", workers=0, save_seconds=0)
    with pytest.raises(InterruptedRunError):
        finetune(job, stop)
    rest = reidclip(*words, "south", "north", "--store", "cut", "--save-every", "0")
    assert "going on with the unfinished run" in rest.err
    first, second = (Store(Path(name)).open("baseline-north-south", kind="checkpoint") for name in ("whole", "cut"))
    tensors, again = (load_file(next(a.path.glob("*.safetensors"))) for a in (first, second))
    assert tensors.keys() == again.keys() and all((tensors[name] == again[name]).all() for name in tensors)
    embeddings = [value for name, value in tensors.items() if "sie" in name or "camera" in name]
    assert len(embeddings) == 1 and 9 in embeddings[0].shape, "six cameras of one source, three of the other"

    made = second.manifest.dataset
    assert made is not None and {domain: s.layout for domain, s in made.sources.items()} == {"north": "market1501", "south": "prcc"}
    shown = reidclip("artifacts", "show", second.path, "--store", "cut").out.replace("\n", "")
    assert "north: " in shown and "south: " in shown
    assert "north + south" in reidclip("artifacts", "list", "--store", "cut").out
    assert "south: " in reidclip("artifacts", "lineage", second.path, "--store", "cut").out
    sources = reidclip("artifacts", "lineage", second.path, "--store", "cut", "--json").json["dataset"]["sources"]
    assert sources["north"]["fingerprint"] == made.sources["north"].fingerprint


def test_bare_commands_find_all_sources_again(reidclip: CommandLine, tmp_path: Path) -> None:
    reidclip("mask", "north", "south", "--workers", "0", "--device", "cpu")
    masks = Store(tmp_path / "artifacts").newest("masks")
    assert masks is not None and any(name.startswith("keep/north/bounding_box_train/") for name in masks.files)
    learned = reidclip("prompt-learn", "--method", "clipreid", *CLIP, *SMALL)
    assert f"data: {tmp_path / 'north'} + {tmp_path / 'south'} (of masks" in learned.err
    tuned = reidclip("finetune", *CLIP[2:], *SMALL, *assigned("identities=2", "images_per_identity=2", "pad=2"))
    assert "wrote checkpoint/clipreid-north-south@v1" in tuned.out

    next((tmp_path / "south").rglob("train/**/*.jpg")).unlink()
    changed = reidclip("finetune", *CLIP[2:], *SMALL, code=2)
    one_less = "24 / 23 pictures in split train"
    assert f"note: data set 'south' ({tmp_path / 'south'}) is not as prompts clipreid-north-south@v1 had it: {one_less}" in changed.err
    assert f"were learned on other data: data set 'south': {one_less}" in changed.err
    other = reidclip("finetune", "north", *CLIP[2:], *SMALL, "--prompts", "clipreid-north-south", code=2)
    assert "data sets north, south joined / one data set, " in other.err
    shutil.rmtree(tmp_path / "south")
    gone = reidclip("finetune", *CLIP[2:], *SMALL, code=2)
    assert f"Data set 'south' of prompts clipreid-north-south@v1 is no longer at {tmp_path / 'south'}." in gone.err


def test_both_halves_of_all_sources_without_distractors(reidclip: CommandLine, tmp_path: Path) -> None:
    words = ("north", "south", "--method", "baseline", *CLIP, *assigned(*SETTINGS), "--set", 'train_splits=["all"]')
    told = reidclip("finetune", *words, "--dry-run").json["data"]["sources"]
    assert {domain: source["identities"] for domain, source in told.items()} == {"north": 8, "south": 6}
    with_nobody = reidclip("finetune", *words, "--set", "distractors=identity", "--dry-run").json["data"]["sources"]
    assert {domain: source["identities"] for domain, source in with_nobody.items()} == {"north": 9, "south": 6}
    run = reidclip("finetune", *words, *assigned("epochs=1"))
    assert "distractors, pictures of nobody, are left out of the training." in run.err
    made = Store(tmp_path / "artifacts").open("baseline-north-south", kind="checkpoint")
    assert any("distractors" in note for note in made.manifest.notes)


def test_a_broken_picture_of_a_source_is_named_by_its_whole_path(reidclip: CommandLine, tmp_path: Path) -> None:
    broken = next((tmp_path / "south").rglob("train/**/*.jpg"))
    broken.write_bytes(b"no picture")
    run = reidclip("finetune", "north", "south", "--method", "baseline", *CLIP, *assigned(*SETTINGS), code=1)
    assert str(broken) in run.err


def test_label_maps_made_elsewhere_mirror_the_joined_paths(reidclip: CommandLine, tmp_path: Path) -> None:
    for name in ("north", "south"):
        shutil.copytree(tmp_path / name / "parsing", tmp_path / "maps" / name)
    run = reidclip("mask", "south", "north", "--parsing", "maps", "--label-set", "lip", "--preview")
    assert "from label maps in" in run.out
    masks = Store(tmp_path / "artifacts").newest("masks")
    assert masks is not None and masks.manifest.metrics["pictures"] == 111 - 12 + 36, "junk is no part of the data"
    assert {name.split("/")[1] for name in masks.files if name.startswith("keep/")} == {"north", "south"}
