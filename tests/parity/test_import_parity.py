"""Published checkpoints, filled by the rule: file -> import -> the encoder that evaluate loads -> the recorded test features."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from reidclip.artifacts.store import Store
from reidclip.clip.architecture import build_towers
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.transforms import Normalisation, normalise
from reidclip.importers.options import ImportOptions
from reidclip.stages.import_checkpoint import import_checkpoint, plan_import
from tests.parity.fixtures import fill, fill_one, load, load_json

Load = Callable[..., InferenceEncoder]


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Load]:
    """Write a state dict as its authors would, import the file, load the artifact as evaluate does; features keep their lengths."""

    def run(content: Mapping[str, Any], **options: Any) -> InferenceEncoder:
        path, store = tmp_path / "published.pth", Store(tmp_path / "store")
        torch.save(dict(content), path)
        artifact = import_checkpoint(plan_import(path, store, options=ImportOptions(**options)))
        encoder = InferenceEncoder.load(store.open(artifact.ref, kind="checkpoint").path)
        assert encoder.options.normalise
        encoder.options = replace(encoder.options, normalise=False)
        return encoder

    yield run
    shutil.rmtree(tmp_path)  # some hundred megabytes each


def features(encoder: InferenceEncoder, images: np.ndarray, camera: np.ndarray | None = None) -> Tensor:
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    x = normalise(pictures, Normalisation(encoder.options.mean, encoder.options.std))
    return encoder.features(x, None if camera is None else torch.from_numpy(camera))


def close(actual: Tensor, expected: np.ndarray, atol: float) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=atol)


# ----------------------------------------------------------------------------------------------------------- CLIP-ReID
def resized(table: Tensor, height: int, width: int) -> Tensor:
    """As the published loader does it, before a checkpoint is ever written."""
    side = round((len(table) - 1) ** 0.5)
    grid = table[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(height, width), mode="bilinear")
    return torch.cat([table[:1], grid.permute(0, 2, 3, 1).reshape(height * width, -1)])


def published(clip: str, keys: str, seed: int) -> dict[str, Tensor]:
    """Every key of a published checkpoint; what no image feature depends on is an empty shell of its shape."""
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in build_towers(open_clip.get_model_config(clip)).visual.state_dict().items()}
    tower = {f"image_encoder.{k}": fill_one(f"visual.{k}", shape, seed) for k, shape in shapes.items()}
    listed: dict[str, tuple[int, ...]] = {key: tuple(shape) for key, shape in load_json(keys)}
    state = {key: torch.zeros(()).expand(shape) for key, shape in listed.items()}
    necks = {key: shape for key, shape in listed.items() if key.startswith("bottleneck")}
    return {**state, **tower, **fill(necks, seed)}


@pytest.fixture(scope="module")
def vit_state() -> dict[str, Tensor]:
    seed = int(load("clipreid_vit_b16")["fill_seed"])
    return published("ViT-B-16-quickgelu", "clipreid_vit_checkpoint_keys", seed)


def with_grid(state: Mapping[str, Tensor], height: int, width: int, prefix: str = "") -> dict[str, Tensor]:
    table = "image_encoder.positional_embedding"
    return {f"{prefix}{key}": resized(value, height, width) if key == table else value for key, value in state.items()}


def test_vit(vit_state: dict[str, Tensor], imported: Load) -> None:
    vectors = load("clipreid_vit_b16")
    encoder = imported(with_grid(vit_state, 16, 8, prefix="module."))
    assert encoder.image_encoder.config.image_size == (256, 128)
    assert (encoder.options.mean[0], encoder.options.resize, encoder.options.flip) == (0.5, "bilinear", False)
    close(features(encoder, vectors["images"]), vectors["eval_before"], 1e-4)


def test_vit_after_batch_norm(vit_state: dict[str, Tensor], imported: Load) -> None:
    vectors = load("clipreid_vit_b16")
    close(features(imported(with_grid(vit_state, 16, 8), neck="after"), vectors["images"]), vectors["eval_after"], 1e-4)


def test_vit_with_camera_embedding(vit_state: dict[str, Tensor], imported: Load) -> None:
    vectors = load("clipreid_vit_variants")
    table = fill_one("cv_embed", vectors["sie_cv_embed"].shape, int(vectors["fill_seed"]))
    encoder = imported({**with_grid(vit_state, 16, 8), "cv_embed": table}, sie_coefficient=float(vectors["sie_coe"]))
    close(features(encoder, vectors["images"], vectors["sie_cam_label"]), vectors["sie_eval"], 1e-4)
    close(features(encoder, vectors["images"]), vectors["plain_eval"], 1e-4)


def test_vit_with_overlapping_patches(vit_state: dict[str, Tensor], imported: Load) -> None:
    vectors = load("clipreid_vit_variants")
    encoder = imported(with_grid(vit_state, *vectors["stride12_grid"].tolist()))
    assert (encoder.image_encoder.config.image_size, encoder.image_encoder.config.stride) == ((256, 128), 12)
    close(features(encoder, vectors["images"]), vectors["stride12_eval"], 1e-4)


@pytest.mark.parametrize("neck", ["before", "after"])
def test_rn50(imported: Load, neck: str) -> None:
    vectors = load("clipreid_rn50")
    state = published("RN50-quickgelu", "clipreid_rn50_checkpoint_keys", int(vectors["fill_seed"]))
    table = "image_encoder.attnpool.positional_embedding"
    encoder = imported({**state, table: resized(state[table], 16, 8)}, neck=neck)
    assert encoder.options.mean == (0.485, 0.456, 0.406)
    close(features(encoder, vectors["images"]), vectors[f"eval_{neck}"], 2e-5)


# -------------------------------------------------------------------------------------------------------- Simple-CCReID
def test_simple_ccreid(imported: Load) -> None:
    vectors = load("ccreid_resnet50")
    with torch.device("meta"):
        net = torchvision.models.resnet50()
    shapes = {
        f"base.{place}.{key}": tuple(value.shape)
        for place, module in enumerate(list(net.children())[:-2])
        for key, value in module.state_dict().items()
    }
    shapes |= {f"bn.{key}": tuple(value.shape) for key, value in torch.nn.BatchNorm1d(4096).state_dict().items()}
    content = {
        "model_state_dict": fill(shapes, int(vectors["fill_seed"])),
        "classifier_state_dict": {"classifier.weight": torch.zeros(150, 4096), "classifier.bias": torch.zeros(150)},
        "clothes_classifier_state_dict": {},
        "rank1": np.float64(0.556),  # as the published program leaves it
        "epoch": 59,
    }
    encoder = imported(content, size=(128, 64))
    assert (encoder.options.neck, encoder.options.flip, encoder.width) == ("after", True, 4096)
    both = features(encoder, vectors["images"])
    close(F.normalize(both), vectors["test_feature"], 1e-4)
    encoder.options = replace(encoder.options, flip=False)
    close(features(encoder, vectors["images"]), vectors["eval_feature"], 1e-4)
    close(features(encoder, vectors["images"][:, :, ::-1].copy()), vectors["eval_feature_flipped"], 1e-4)
