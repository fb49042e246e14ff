"""The recipe of reidclip-tiny: where its attention pool starts, and what is said of a picture."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.load import load_clip
from tests.fakes import REPOSITORY, environment
from tests.warm import WarmProcess

RECIPE = REPOSITORY / "examples" / "train_reidclip_tiny"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"train_reidclip_tiny_{name}", RECIPE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pooling, attributes = _module("pooling"), _module("attributes")


@pytest.fixture
def encoder() -> ImageEncoder:
    return load_clip(f"random:{RECIPE / 'architecture.json'}", image_size=(128, 64)).image_encoder.eval()


def _seen(encoder: ImageEncoder, rows: slice) -> float:
    """How far new pixels in some rows move the joint feature, relative to new pixels everywhere."""
    generator = torch.Generator().manual_seed(3)
    before, after = (torch.rand(4, 3, 128, 64, generator=generator) for _ in range(2))
    changed = before.clone()
    changed[:, :, rows] = after[:, :, rows]
    with torch.no_grad():
        features = [encoder(x).projected for x in (before, changed, after)]
    return float((features[1] - features[0]).norm() / (features[2] - features[0]).norm())


def test_a_tower_that_starts_with_bands_sees_a_head_that_a_new_one_hardly_sees(encoder: ImageEncoder) -> None:
    head = slice(0, 20)
    before = _seen(encoder, head)
    pooling.start_with_bands(encoder)
    assert _seen(encoder, head) > 1.5 * before


def test_bands_cover_the_picture_and_more_heads_look_at_the_top() -> None:
    centres = pooling.band_centres(8)
    assert sorted(centres[:6]) == pytest.approx([1 / 12, 3 / 12, 5 / 12, 7 / 12, 9 / 12, 11 / 12])
    assert all(0 < c <= 0.25 for c in centres[6:])


def test_a_tower_at_its_own_size_is_the_same_and_at_another_takes_its_pictures(encoder: ImageEncoder) -> None:
    pictures = torch.rand(2, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    same, large = (pooling.at_size(encoder, size).eval() for size in ((128, 64), (256, 128)))
    with torch.no_grad():
        assert torch.equal(same(pictures).projected, encoder(pictures).projected)
        assert large(torch.rand(1, 3, 256, 128)).projected.shape == (1, 256)


def test_standardised_features_are_what_the_tower_then_gives(encoder: ImageEncoder) -> None:
    generator = torch.Generator().manual_seed(0)
    light = 10 * torch.randn(32, 3, 1, 1, generator=generator)  # colours that differ: a new tower's features of mere noise hardly do
    pictures = light + torch.rand(32, 3, 128, 64, generator=generator)
    with torch.no_grad():
        features = pooling.standardise(encoder, encoder(pictures).projected)
        found = encoder(pictures).projected
    torch.testing.assert_close(found, features, atol=2e-3, rtol=1e-3)
    assert float(found.mean(0).abs().max()) < 0.01
    assert float((found.std(0) - 1).abs().max()) < 0.01


def _row(view: str = "front", **outfit: object) -> dict[str, object]:
    cloth = {"name": "shirt", "colour": "red", "pattern": "plain"}
    return {
        "identity": {
            "gender": "male", "glasses": "round", "hair_colour": "grey", "hair_style": "bob", "beard": "full", "age": "old", "skin": "tan",
        },
        "outfit": {"top": cloth, "bottom": {"name": "jeans", "colour": "blue"}, **outfit},
        "view": {"word": view},
    }  # fmt: skip


def test_what_a_picture_does_not_show_is_not_asked_of_it() -> None:
    jacket = {"name": "coat", "colour": "navy"}
    found = attributes.Attributes([_row(), _row("back"), _row(jacket=jacket)])
    assert found.targets("glasses", [0, 1, 2], 0).tolist() == [0, -1, 0]
    assert found.targets("garment", [0, 1, 2], 0).tolist() == [0, 0, -1]
    assert found.targets("bottom", [0, 1, 2], 2).tolist() == [0, -1, -1]
    assert found.targets("gender", [0, 1, 2], 2).tolist() == [0, 0, 0]


def test_every_value_has_a_sentence_of_its_own() -> None:
    rows = [_row(), _row(jacket={"name": "coat", "colour": "navy"}, hat={"name": "cap"}, bag={"name": "backpack"}, shoes={"colour": "red"})]
    said = attributes.Attributes(rows).sentences(np.random.default_rng(0))
    assert all(len(set(texts)) == len(texts) for texts in said.values())
    assert "coat" in json.dumps(said["jacket"])
    assert any("without a jacket" in text for text in said["jacket"])


def test_rare_values_weigh_more_up_to_a_bound() -> None:
    rows = [_row() for _ in range(30)]
    rows += [_row(hat={"name": "cap"}) for _ in range(10)] + [_row(hat={"name": "beanie"})]
    found = attributes.Attributes(rows)
    assert found.values["hat"] == ["beanie", "cap", "no"]
    assert found.weights["hat"].tolist() == pytest.approx([4.0, 41 / 30, 41 / 90])


def test_states_of_other_options_are_not_taken_for_ones_own(tmp_path: Path) -> None:
    def train(*options: str) -> str:
        words = ["train", str(tmp_path / "no-data"), "out.safetensors", "--held-out", "h", *options]
        process = WarmProcess([sys.executable, "-m", *words], tmp_path, environment(tmp_path / "home", RECIPE))
        _, err = process.communicate()
        assert process.returncode != 0
        return err

    assert "other options" not in train("--lr", "1e-3")  # there are no data
    told = train("--lr", "2e-3", "--seed", "1")
    assert "reidclip-tiny.state.options.json" in told and "(lr, seed)" in told and "--state" in told and "Traceback" not in told
    assert "other options" not in train("--lr", "2e-3", "--seed", "1", "--state", "mine.state")
