"""evaluate --diagnostics as a user runs it: what lies in the artifact, what is printed, and what is skipped and why."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from reidclip.artifacts.store import Artifact, Store
from reidclip.cli.app import app
from tests.cli.test_training import write_labels
from tests.fakes import write_prcc, write_tiny_clip

TRAINING = ("--set", "height=32", "--set", "width=16", "--set", "epochs=1")
BATCHES = ("--set", "identities=2", "--set", "images_per_identity=2", "--set", "pad=2")


def reidclip(place: Path, *words: str) -> str:
    """Run a command in this process; what it prints on stdout."""
    common = ["--store", str(place / "artifacts"), *(["--device", "cpu", "--workers", "0"] if words[0] != "mask" else [])]
    done = CliRunner().invoke(app, [*words, *common], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, masks, and checkpoints of CCAF, CLIP-ReID and the baseline."""
    place = tmp_path_factory.mktemp("trained")
    data = str(write_prcc(place / "prcc"))
    write_labels(place / "prcc", place / "labels")
    clip = ("--clip", str(write_tiny_clip(place / "tiny.safetensors")))
    reidclip(place, "mask", data, "--parsing", str(place / "labels"))
    for method in ("ccaf", "clipreid"):
        reidclip(place, "prompt-learn", data, "--method", method, *clip, *TRAINING)
    for method in ("ccaf", "clipreid", "baseline"):
        reidclip(place, "finetune", data, "--method", method, *clip, *TRAINING, *BATCHES)
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """A copy whose artifacts may be changed; the data stay where they are."""
    shutil.copytree(trained / "artifacts", tmp_path / "artifacts")
    return tmp_path


def evaluated(place: Path, trained: Path, *words: str) -> tuple[Artifact, dict[str, Any]]:
    told = json.loads(reidclip(place, "evaluate", str(trained / "prcc"), "--diagnostics", "--json", *words))
    return Store(place / "artifacts").open(f"evaluation/{told['artifact']}"), told["diagnostics"]


class TestArtifact:
    def test_holds_table_and_pictures(self, place: Path, trained: Path) -> None:
        artifact, found = evaluated(place, trained, "--checkpoint", "ccaf-prcc")
        assert json.loads(artifact.file("diagnostics.json").read_text()) == found
        drawn = {name for name in artifact.files if name.endswith(".png")}
        names = ("pairs-same-clothes", "pairs-cloth-changing", "prompts-identity", "prompts-clothes", "map")
        assert drawn == {f"diagnostics/{name}.png" for name in names}
        for name in drawn:
            with Image.open(artifact.file(name)) as picture:
                assert picture.size == (720, 440) and len(picture.getcolors(1 << 20) or ()) > 20

    def test_pairs_are_those_of_the_protocol(self, place: Path, trained: Path) -> None:
        """Two test people with two pictures per camera: 2 x 4 matches of 16 pairs, and 8 pairs of two people."""
        _, found = evaluated(place, trained, "--checkpoint", "ccaf-prcc")
        for protocol in ("same-clothes", "cloth-changing"):
            pairs = found["pairs"][protocol]
            assert (pairs["positive"]["pairs"], pairs["negative"]["pairs"]) == (8, 8)
            assert sum(pairs["positive"]["counts"]) == 8 and len(pairs["edges"]) == len(pairs["positive"]["counts"]) + 1

    def test_probe_counts_outfits_and_tells_of_the_camera(self, place: Path, trained: Path) -> None:
        """Two people, two outfits each; A and B show the first (four pictures), C the second (two): two of each take part."""
        _, found = evaluated(place, trained, "--checkpoint", "ccaf-prcc")
        probe = found["clothes_probe"]
        assert (probe["people"], probe["outfits"], probe["pictures"], probe["chance"]) == (2, 4, 8, 0.5)
        assert probe["camera_alone"] == 1 and probe["within_camera"] is None
        assert "no person changes clothes under one camera here" in probe["note"]

    def test_map_names_its_pictures(self, place: Path, trained: Path) -> None:
        artifact, found = evaluated(place, trained, "--checkpoint", "ccaf-prcc", "--set", "map_people=1")
        with artifact.file("diagnostics/map.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert found["map"]["people"] == [1] and found["map"]["pictures"] == len(rows) == 6
        assert {row["pid"] for row in rows} == {"1"} and {row["camera"] for row in rows} == {"0", "1", "2"}

    def test_without_the_option_nothing_of_it_is_there(self, place: Path, trained: Path) -> None:
        told = json.loads(reidclip(place, "evaluate", str(trained / "prcc"), "--checkpoint", "baseline-prcc", "--json"))
        assert "diagnostics" not in told
        files = Store(place / "artifacts").open(f"evaluation/{told['artifact']}").files
        assert not [name for name in files if "diagnostics" in name]

    def test_metrics_are_the_same_with_it(self, place: Path, trained: Path) -> None:
        words = ("evaluate", str(trained / "prcc"), "--checkpoint", "ccaf-prcc", "--json")
        assert json.loads(reidclip(place, *words))["metrics"] == json.loads(reidclip(place, *words, "--diagnostics"))["metrics"]


class TestPrompts:
    def test_of_ccaf_come_with_their_own_masks(self, place: Path, trained: Path) -> None:
        _, found = evaluated(place, trained, "--checkpoint", "ccaf-prcc")
        prompts = found["prompts"]
        assert (prompts["prompts"], prompts["masks"], prompts["pictures"]) == ("ccaf-prcc@v1", "labels-prcc@v1", 24)
        for name in ("identity", "clothes"):
            assert prompts[name]["to_shielding"]["pairs"] == 24 and set(prompts[name]["accuracy"]) == {"x", "x_s", "x_c"}

    def test_of_clipreid_take_the_newest_masks(self, place: Path, trained: Path) -> None:
        _, found = evaluated(place, trained, "--checkpoint", "clipreid-prcc")
        assert found["prompts"]["masks"] == "labels-prcc@v1" and "identity" in found["prompts"] and "clothes" not in found["prompts"]

    @pytest.mark.parametrize(
        ("words", "lost", "why"),
        [
            (["--zero-shot"], "", "a plain CLIP has no learned prompts"),
            (["--checkpoint", "baseline-prcc"], "", "the checkpoint was fine-tuned without prompts"),
            (["--checkpoint", "ccaf-prcc"], "prompts/ccaf-prcc", "or they are no longer in the store"),
            (["--checkpoint", "clipreid-prcc"], "masks/labels-prcc", "there are no masks of the training data"),
        ],
    )
    def test_skipped(self, place: Path, trained: Path, words: list[str], lost: str, why: str) -> None:
        if lost:
            shutil.rmtree(place / "artifacts" / lost)
        if "--zero-shot" in words:
            words = [*words, "--clip", str(trained / "tiny.safetensors")]
        artifact, found = evaluated(place, trained, *words)
        assert why in found["prompts"]["skipped"]
        assert "diagnostics/map.png" in artifact.files and not [name for name in artifact.files if "prompts" in name]

    def test_a_changed_mask_is_told_and_the_rest_goes_on(self, place: Path, trained: Path) -> None:
        keep = next((place / "artifacts/masks/labels-prcc/v0001/keep/rgb/train").rglob("*.png"))
        keep.write_bytes(keep.read_bytes() + b" ")
        artifact, found = evaluated(place, trained, "--checkpoint", "ccaf-prcc")
        assert "digest mismatch" in found["prompts"]["skipped"] and "diagnostics/map.png" in artifact.files


class TestPrinted:
    def test_one_line_each(self, place: Path, trained: Path) -> None:
        told = reidclip(place, "evaluate", str(trained / "prcc"), "--checkpoint", "ccaf-prcc", "--diagnostics").splitlines()
        begins = ("pairs, same-clothes: mean distances ", "pairs, cloth-changing: ", "clothes left in the feature: linear probe ")
        for begin in (*begins, "identity prompts: ", "clothes prompts: ", "map: 12 pictures of 2 people, "):
            assert len([line for line in told if line.startswith(begin)]) == 1, begin

    def test_what_is_skipped_says_why(self, place: Path, trained: Path) -> None:
        told = reidclip(place, "evaluate", str(trained / "prcc"), "--checkpoint", "baseline-prcc", "--diagnostics")
        assert "prompts: skipped, the checkpoint was fine-tuned without prompts" in told


def test_clothes_that_nobody_knows_are_skipped(tmp_path: Path) -> None:
    """A data set without clothes labels still gets its pairs and its map."""
    from tests.fakes import draw_person

    for split, cameras in (("query", (0,)), ("bounding_box_test", (1, 2)), ("bounding_box_train", (0, 1))):
        folder = tmp_path / "market" / split
        folder.mkdir(parents=True)
        for pid in (1, 2, 3):
            for camera in cameras:
                picture, _ = draw_person(pid, 0, camera, 0)
                Image.fromarray(picture).save(folder / f"{pid:04d}_c{camera + 1}s1_000001_00.jpg")
    clip = str(write_tiny_clip(tmp_path / "tiny.safetensors"))
    words = ("evaluate", str(tmp_path / "market"), "--zero-shot", "--clip", clip, "--diagnostics", "--json")
    found = json.loads(reidclip(tmp_path, *words))["diagnostics"]
    assert "two known outfits" in found["clothes_probe"]["skipped"]
    assert found["map"]["pictures"] == 9 and all("skipped" not in pairs for pairs in found["pairs"].values())
