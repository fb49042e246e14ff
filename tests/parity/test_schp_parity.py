"""The full SCHP network against recorded outputs of its authors' program: normalisation, network, geometry, checkpoint files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from reidclip.data.label_sets import LABEL_SETS, palette
from reidclip_schp import PARSER
from reidclip_schp.abn import ActivatedBatchNorm
from reidclip_schp.checkpoint import read_checkpoint
from reidclip_schp.crop import Crop, labels_at_picture_size, normalised, to_picture, upsampling, warp
from reidclip_schp.fold import fold
from reidclip_schp.network import SchpNetwork, Scores, key_shapes
from reidclip_schp.session import FullSession
from reidclip_schp.settings import SchpSettings
from tests.parity.fixtures import fill, load, load_json

CPU = torch.device("cpu")
ATOL = {"parsing": 1e-4, "fusion": 1e-4, "edge": 2e-4}
Arrays = dict[str, np.ndarray]


def rgb(bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bgr[:, :, ::-1])


# ------------------------------------------------------------------------------------------------ the activated normalisation
def norm_of(data: Arrays, activation: str) -> ActivatedBatchNorm:
    slope = float(data["slope"]) if activation == "leaky_relu" else None
    norm = ActivatedBatchNorm(6, slope=slope, momentum=float(data["momentum"]))
    norm.load_state_dict({key: torch.from_numpy(data[key].copy()) for key in ("weight", "bias", "running_mean", "running_var")})
    return norm


@pytest.mark.parametrize("activation", ["leaky_relu", "none"])
def test_normalisation_with_running_statistics(activation: str) -> None:
    data = load("schp_abn")
    assert (data["weight"] < 0).sum() == 2
    norm = norm_of(data, activation).eval()
    with torch.no_grad():
        y = norm(torch.from_numpy(data["x"]))
    np.testing.assert_allclose(y, data[f"{activation}_eval"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(norm.running_mean, data["running_mean"])


@pytest.mark.parametrize("activation", ["leaky_relu", "none"])
def test_normalisation_in_training(activation: str) -> None:
    """Output, running statistics after one batch, and gradients: those of negative weights have their sign flipped."""
    data = load("schp_abn")
    norm = norm_of(data, activation).train()
    x = torch.from_numpy(data["x"]).requires_grad_()
    y = norm(x)
    y.backward(torch.from_numpy(data["upstream_grad"]))
    recorded = {key.removeprefix(f"{activation}_train"): value for key, value in data.items() if key.startswith(f"{activation}_train")}
    np.testing.assert_allclose(y.detach(), recorded[""], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.running_mean, recorded["_running_mean_after"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, recorded["_running_var_after"], rtol=1e-5, atol=1e-6)
    for name, tensor in (("x", x), ("weight", norm.weight), ("bias", norm.bias)):
        np.testing.assert_allclose(tensor.grad, recorded[f"_grad_{name}"], rtol=1e-4, atol=1e-6, err_msg=name)


# --------------------------------------------------------------------------------------------------------------- keys
@pytest.mark.parametrize("label_set", ["lip", "atr", "pascal"])
def test_keys_and_shapes(label_set: str) -> None:
    known = load_json("schp_keys")
    expected = {key: tuple(shape) for key, shape in known["state_dict_keys_lip"]}
    expected |= {key: tuple(shape) for key, shape in known[label_set].get("shapes_that_differ_from_lip", [])}
    found = key_shapes(known[label_set]["num_classes"])
    assert {f"module.{key}": shape for key, shape in found.items()} == expected
    assert LABEL_SETS[label_set].labels == tuple(known[label_set]["labels"])
    assert [list(colour) for colour in palette(len(known[label_set]["labels"]))] == known[label_set]["palette_rgb"]


def test_order_of_keys_and_number_of_parameters() -> None:
    known = load_json("schp_keys")
    assert [f"module.{key}" for key in key_shapes(20)] == [key for key, _ in known["state_dict_keys_lip"]]
    with torch.device("meta"):
        assert sum(p.numel() for p in SchpNetwork(20).parameters()) == known["number_of_parameters_lip"] == 66_723_928


# ------------------------------------------------------------------------------------------------------------ network
@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return fill(key_shapes(20), int(load("schp_net")["fill_seed"]))


def network_of(weights: dict[str, Tensor]) -> SchpNetwork:
    with torch.device("meta"):
        network = SchpNetwork(20)
    network.load_state_dict({key: value.clone() for key, value in weights.items()}, assign=True)
    return network.eval()


def outputs(network: SchpNetwork, bgr: np.ndarray) -> Scores:
    with torch.inference_mode():
        scores: Scores = network(normalised(torch.from_numpy(rgb(bgr))[None]))
    return scores


@pytest.mark.parametrize("form", ["as loaded", "folded"])
def test_network_on_a_small_picture(weights: dict[str, Tensor], form: str) -> None:
    data = load("schp_net")
    network = network_of(weights)
    if form == "folded":
        network = fold(network).to(memory_format=torch.channels_last)
        assert not any(isinstance(module, ActivatedBatchNorm) for module in network.modules())
    scores = outputs(network, data["image_bgr"])
    for name, atol in ATOL.items():
        np.testing.assert_allclose(getattr(scores, name), data[name], rtol=0, atol=atol, err_msg=name)


def test_network_at_full_size(weights: dict[str, Tensor]) -> None:
    data = load("schp_net")
    scores = outputs(network_of(weights), data["e2e_warped_u8"])
    assert list(scores.fusion.shape) == data["e2e_out_shape"].tolist() == [1, 20, 119, 119]
    for name, atol in ATOL.items():
        found = getattr(scores, name)[:, :, ::7, ::7]
        np.testing.assert_allclose(found, data[f"e2e_{name}_sub7"], rtol=0, atol=atol, err_msg=name)


# ----------------------------------------------------------------------------------------------------------- geometry
def test_affine_maps() -> None:
    data = load("schp_prepost")
    for row in data["geometry_f64"]:
        h, w, height, width = (int(v) for v in row[:4])
        crop = Crop.of((h, w), (height, width))
        np.testing.assert_allclose([*crop.center, *crop.extent], row[4:8], rtol=0, atol=1e-6)
        np.testing.assert_allclose(crop.forward().ravel(), row[8:14], rtol=0, atol=1e-6)
        np.testing.assert_allclose(crop.inverse().ravel(), row[14:20], rtol=0, atol=1e-6)
    crop = Crop.of((200, 90), (473, 473))
    np.testing.assert_allclose(crop.forward(), data["affine_f64"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(crop.inverse(), data["affine_inverse_f64"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "picture", "warped"), [("schp_prepost", "image_bgr", "warped_u8"), ("schp_net", "e2e_image_bgr", "e2e_warped_u8")]
)
def test_warped_picture(name: str, picture: str, warped: str) -> None:
    data = load(name)
    found = rgb(warp(rgb(data[picture]), Crop.of((200, 90), (473, 473))))
    difference = np.abs(found.astype(int) - data[warped])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3  # only halves may be rounded the other way


def test_network_input() -> None:
    data = load("schp_prepost")
    found = normalised(torch.from_numpy(rgb(data["warped_u8"]))[None])[0, :, ::3, ::3]
    np.testing.assert_allclose(found, data["input_tensor_sub3"], rtol=1e-5, atol=1e-6)


def test_way_back_from_scores_to_labels() -> None:
    data = load("schp_prepost")
    scores = torch.from_numpy(data["logits_i8_times16"].astype(np.float32) / 16)
    crop = Crop.of((200, 90), (473, 473))
    assert data["post_size_wh"].tolist() == [90, 200]
    up = upsampling(119, 473)
    np.testing.assert_allclose((up @ scores @ up.T).permute(1, 2, 0)[::43, ::43], data["upsampled_sub"], rtol=0, atol=1e-4)
    rows, columns = to_picture(crop, (119, 119))
    np.testing.assert_allclose((rows @ scores @ columns.T).permute(1, 2, 0)[::5, ::5], data["back_logits_sub"], rtol=0, atol=1e-4)
    sure = data["near_tie_mask"] == 0
    assert sure.mean() > 0.9 and len(np.unique(data["label_map"])) > 10
    np.testing.assert_array_equal(labels_at_picture_size(scores, crop)[sure], data["label_map"][sure])


# -------------------------------------------------------------------------------------- checkpoint files, from end to end
def session_of(path: Path, **values: object) -> FullSession:
    session = PARSER.open(SchpSettings(weights=path, **values), CPU)
    assert isinstance(session, FullSession)
    return session


def test_authors_file_gives_the_recorded_output(filled_checkpoint: Path) -> None:
    data = load("schp_net")
    session = session_of(filled_checkpoint)
    assert session.name == "schp" and session.labels == LABEL_SETS["lip"].labels and session.input_hw == (473, 473)
    scores = session.scores([rgb(data["e2e_warped_u8"])])
    np.testing.assert_allclose(scores[:, :, ::7, ::7], data["e2e_fusion_sub7"], rtol=0, atol=1e-4)

    crop = Crop.of((200, 90), (473, 473))
    rows, columns = to_picture(crop, (119, 119))
    for tag, plane in (("e2e", scores[0]), ("e2e_centred", scores[0] - scores[0].mean((1, 2), keepdim=True))):
        back = (rows @ plane @ columns.T).permute(1, 2, 0)
        np.testing.assert_allclose(back[::10, ::10], data[f"{tag}_logits_sub"], rtol=0, atol=1e-4, err_msg=tag)
        sure = data[f"{tag}_near_tie"] == 0
        assert sure.mean() > 0.5
        np.testing.assert_array_equal(labels_at_picture_size(plane, crop)[sure], data[f"{tag}_label_map"][sure], err_msg=tag)
    assert len(np.unique(data["e2e_centred_label_map"])) > 3


def test_a_picture_gives_the_recorded_labels(filled_checkpoint: Path) -> None:
    data = load("schp_net")
    (labels,) = session_of(filled_checkpoint)([rgb(data["e2e_image_bgr"])])
    sure = data["e2e_near_tie"] == 0
    np.testing.assert_array_equal(labels[sure], data["e2e_label_map"][sure])


def test_other_forms_of_the_same_file(filled_checkpoint: Path, weights: dict[str, Tensor], tmp_path: Path) -> None:
    """The format that torch wrote until 2020, which the authors' files have, and safetensors with and without the prefix."""
    old, copy = tmp_path / "old.pth", tmp_path / "copy.safetensors"
    torch.save({"state_dict": {f"module.{key}": value for key, value in weights.items()}}, old, _use_new_zipfile_serialization=False)
    save_file({key: value.contiguous() for key, value in weights.items()}, str(copy))
    assert old.read_bytes()[:2] == b"\x80\x02" and filled_checkpoint.read_bytes()[:2] == b"PK"
    for path in (filled_checkpoint, old, copy):
        state = read_checkpoint(path).network.state_dict()
        assert all(torch.equal(state[key], value) for key, value in weights.items()), path
        path.unlink() if path is not filled_checkpoint else None
