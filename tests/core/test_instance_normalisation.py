"""Pictures normalised by their own mean and deviation: the numbers, derived pictures, clips, erasing, and what a saved encoder says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.loader import ImageSource
from reidclip.data.transforms import NORMALISATIONS, Transform, finish, normalise
from reidclip.errors import UserError
from reidclip.importers.imported import build_encoder, feature_facts
from reidclip.train.features import frozen_features
from tests.fakes import tiny_clip, write_prcc
from tests.method_bench import Bench

INSTANCE = NORMALISATIONS["instance"]
NO_BOX = (0, 0, 0, 0)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def slowly(plane: Tensor) -> np.ndarray:
    """(H, W) uint8 by the definition, in float64."""
    x = plane.numpy().astype(np.float64) / 255
    mean = sum(x.ravel()) / x.size
    variance = sum((v - mean) ** 2 for v in x.ravel()) / x.size
    return (x - mean) / np.sqrt(variance + 1e-5)


def of(image: Tensor, erase: tuple[int, int, int, int] = NO_BOX, **more: Tensor) -> dict[str, Tensor]:
    return {"image": image, "erase": torch.tensor([erase] * len(image)), "erase_seed": torch.arange(len(image)), **more}


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(0, 255), st.integers(0, 255))
def test_by_the_definition(seed: int, height: int, width: int, low: int, high: int) -> None:
    low, high = sorted((low, high))
    image = torch.from_numpy(np.random.default_rng(seed).integers(low, high + 1, (2, 3, height, width), dtype=np.uint8))
    x = normalise(image, INSTANCE)
    assert x.dtype == torch.float32
    for picture, channel in np.ndindex(2, 3):
        np.testing.assert_allclose(x[picture, channel], slowly(image[picture, channel]), atol=2e-5, rtol=1e-5)


def test_as_torch_normalises_instances() -> None:
    image = pictures(5, 3, 64, 32)
    expected = torch.nn.InstanceNorm2d(3)(image.float() / 255)
    torch.testing.assert_close(normalise(image, INSTANCE), expected, rtol=1e-5, atol=1e-6)


def test_one_colour_is_zero() -> None:
    assert not normalise(torch.full((1, 3, 7, 5), 201, dtype=torch.uint8), INSTANCE).abs().gt(1e-4).any()


@given(st.floats(0.2, 0.9), st.integers(0, 20))
def test_brightness_and_contrast_are_gone(factor: float, offset: int) -> None:
    """But for the rounding to grey levels, and for the 1e-5."""
    image = pictures(1, 3, 40, 30)
    changed = (image * factor + offset).round().to(torch.uint8)
    assert (normalise(image, INSTANCE) - normalise(changed, INSTANCE)).abs().max() < 0.02 / factor


def test_a_pictures_numbers_do_not_depend_on_the_others() -> None:
    image = pictures(6, 3, 50, 21)
    together = normalise(image, INSTANCE)
    assert all(torch.equal(normalise(image[i : i + 1], INSTANCE), together[i : i + 1]) for i in range(6))
    clips = normalise(image.view(2, 3, 3, 50, 21), INSTANCE)
    assert torch.equal(clips.flatten(0, 1), together), "frames of a clip are pictures by themselves"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [(32, 16), (9, 7), (224, 224)])
def test_half_precision_around_it_changes_nothing(dtype: torch.dtype, size: tuple[int, int]) -> None:
    """Batches are prepared where the network runs in half precision; the brightest pictures have the largest sums."""
    image = pictures(2, 3, *size) // 8 + 220
    with torch.autocast("cpu", dtype):
        within = normalise(image, INSTANCE)
    assert within.dtype == torch.float32 and torch.equal(within, normalise(image, INSTANCE))
    np.testing.assert_allclose(within[1, 2], slowly(image[1, 2]), atol=2e-5, rtol=1e-5)


def test_derived_pictures_are_shielded_first() -> None:
    image, keep = pictures(2, 3, 12, 10), pictures(2, 12, 10, seed=1) % 2
    views = finish(of(image, keep=keep), INSTANCE, ("shield", "clothes"), shielding=(10, 200, 90))
    colour = torch.tensor([10, 200, 90], dtype=torch.uint8).view(3, 1, 1)
    stays = keep.bool().unsqueeze(1)
    for key, kept in (("x", torch.ones_like(stays)), ("x_s", stays), ("x_c", ~stays)):
        expected = torch.where(kept, image, colour)
        assert torch.equal(views[key], normalise(expected, INSTANCE))
        assert (views[key].mean((-2, -1)).abs() < 1e-5).all(), "each has its own mean"
    clips = finish(of(image[None], keep=keep[None]), INSTANCE, ("shield",), shielding=(10, 200, 90))
    assert torch.equal(clips["x_s"][0], views["x_s"])


def test_erased_after_normalising() -> None:
    image = pictures(2, 3, 20, 20)
    plain, erased = finish(of(image), INSTANCE)["x"], finish(of(image, erase=(3, 4, 5, 6)), INSTANCE)["x"]
    outside = torch.ones(20, 20, dtype=torch.bool)
    outside[3:8, 4:10] = False
    assert torch.equal(erased[..., outside], plain[..., outside]) and not torch.equal(erased, plain)


class TestSavedEncoder:
    def encoder(self, **options: Any) -> InferenceEncoder:
        return InferenceEncoder(tiny_clip().image_encoder, InferenceOptions(**options)).eval()

    def test_comes_back(self, tmp_path: Path) -> None:
        encoder = self.encoder(per_picture=True, resize="bicubic", normalise=False)
        encoder.save(tmp_path)
        document = json.loads((tmp_path / "encoder.json").read_text())
        assert document["normalisation"] == "instance" and not {"mean", "std"} & document.keys()
        again = InferenceEncoder.load(tmp_path)
        assert again.options == encoder.options and again.options.normalisation == INSTANCE

    def test_others_are_written_as_before(self, tmp_path: Path) -> None:
        encoder = self.encoder(mean=(0.1, 0.2, 0.3))
        assert list(encoder.to_config()) == ["format", "encoder", "mean", "std", "resize", "neck", "normalise", "flip"]
        assert encoder.options.normalisation.mean == (0.1, 0.2, 0.3) and not encoder.options.normalisation.per_picture

    def test_an_unknown_normalisation_is_told(self) -> None:
        config = {**self.encoder().to_config(), "normalisation": "batch"}
        with pytest.raises(UserError, match="normalisation 'batch' is not known"):
            InferenceEncoder.from_config(config)

    def test_imported(self, tmp_path: Path) -> None:
        encoder = self.encoder(per_picture=True)
        state = encoder.state_dict()
        built = build_encoder(tmp_path / "w.pth", encoder.image_encoder.config, encoder.options, state)
        assert built.options == encoder.options
        told = feature_facts(built)["feature"]
        assert told["normalisation"] == "instance" and "mean" not in told
        assert feature_facts(self.encoder())["feature"]["mean"] == [0.5, 0.5, 0.5]


def test_prompts_are_learned_from_pictures_as_the_settings_say(tmp_path: Path) -> None:
    bench = Bench("clipreid", write_prcc(tmp_path / "data", tmp_path / "keep"), tmp_path / "keep")
    for number, path in enumerate((tmp_path / "data").rglob("*.jpg")):
        Image.fromarray(pictures(50, 40, 3, seed=number).numpy()).save(path)  # of another size than the network's
    found = {}
    for how in ({}, {"test_resize": "bicubic"}, {"normalisation": "instance"}):
        context = bench.context("prompt-learn", **how)
        found[str(how)] = frozen_features(context, context.settings)["x"]
        source, (height, width) = context.source, (context.settings.height, context.settings.width)
        filter_ = context.settings.test_resize
        rows = ImageSource(source.paths).pictures(Transform(height, width, filter_))
        image = torch.from_numpy(np.stack([rows[i] for i in range(len(source))]))
        normalisation = NORMALISATIONS["instance"] if how.get("normalisation") else None
        x = normalise(image, normalisation or replace(INSTANCE, mean=context.clip.mean, std=context.clip.std, per_picture=False))
        expected = context.clip.image_encoder.eval()(x).projected.detach()
        torch.testing.assert_close(found[str(how)], expected, rtol=1e-4, atol=1e-5)
    plain, *others = found.values()
    assert all((plain - other).abs().max() > 1e-3 for other in others)
