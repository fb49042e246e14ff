"""The parser plugin `schp`: geometry, network, weights file, session, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from reidclip.data.label_sets import ATR, LIP, PASCAL
from reidclip.errors import UserError
from reidclip.settings import Settings
from reidclip_schp import PARSER
from reidclip_schp.mirror import mirrored_order
from reidclip_schp.parser import BUNDLED_WEIGHTS
from reidclip_schp.settings import SchpSettings
from reidclip_schp.tiny_geometry import Fit, labels_at_picture_size, letterbox
from reidclip_schp.tiny_network import TinyParserNet, fuse
from reidclip_schp.tiny_session import TinySession, normalise
from reidclip_schp.tiny_weights import read_weights
from tests.plugins.schp_fixtures import INPUT, random_network, tiny_weights
from tests.trees import picture

CPU = torch.device("cpu")


def open_session(weights: Path, **values: object) -> TinySession:
    session = PARSER.open(SchpSettings(weights=weights, **values), CPU)
    assert isinstance(session, TinySession)
    return session


# ------------------------------------------------------------------------------------------------------------- geometry
@given(st.integers(1, 600), st.integers(1, 600))
def test_fit_is_the_largest_that_keeps_the_aspect(h: int, w: int) -> None:
    fit = Fit.of((h, w), (192, 96))
    assert (fit.height == 192 and fit.width <= 96) or (fit.width == 96 and fit.height <= 192)
    scale = min(192 / h, 96 / w)
    assert abs(fit.height - h * scale) <= 1 and abs(fit.width - w * scale) <= 1
    assert abs(fit.top - (192 - fit.height - fit.top)) <= 1 and abs(fit.left - (96 - fit.width - fit.left)) <= 1


def test_letterbox_pads_with_grey_at_the_sides_only() -> None:
    box = letterbox(np.full((100, 25, 3), 200, np.uint8), (192, 96))
    assert box.shape == (192, 96, 3)
    assert (box[:, 24:72] == 200).all() and (box[:, :24] == 127).all() and (box[:, 72:] == 127).all()


@pytest.mark.parametrize("size", [(192, 96), (96, 48), (384, 192), (150, 75), (120, 40), (60, 200)])
def test_labels_come_back_where_they_were(size: tuple[int, int]) -> None:
    """Scores drawn at the input's size for a picture of four quarters give the quarters at the picture's size."""
    h, w = size
    truth = np.zeros(size, np.uint8)
    truth[: h // 2, w // 2 :], truth[h // 2 :, : w // 2], truth[h // 2 :, w // 2 :] = 1, 2, 3
    drawn = letterbox(np.repeat(truth[:, :, None] * 60, 3, axis=2), (192, 96), pad=0)[::2, ::2, 0].astype(np.float32) / 60
    scores = np.stack([-np.abs(drawn - label) for label in range(4)]).astype(np.float32)
    found = labels_at_picture_size(scores, size, (192, 96))
    assert found.shape == size and found.dtype == np.uint8
    # Other labels appear along a border that is interpolated, the padding's included: look a few pixels away from it.
    margin_y, margin_x = max(2, round(3 * h / Fit.of(size, (192, 96)).height)), max(2, round(3 * w / Fit.of(size, (192, 96)).width))
    sure = np.zeros(size, bool)
    sure[margin_y : h - margin_y, margin_x : w - margin_x] = True
    sure[h // 2 - margin_y : h // 2 + margin_y] = False
    sure[:, w // 2 - margin_x : w // 2 + margin_x] = False
    assert sure.mean() > 0.4
    assert (found[sure] == truth[sure]).all()


def test_the_border_between_two_labels_is_found_to_the_pixel() -> None:
    """A linear score crosses 0 between known pixel centres; half-pixel shifts would move the border."""
    ramp = (np.arange(48) + 0.5) / 48 - 0.5  # crosses 0 at the middle of the width
    scores = np.stack([np.zeros((96, 48)), np.tile(ramp, (96, 1))]).astype(np.float32)
    for width in (96, 192, 48, 480):
        found = labels_at_picture_size(scores, (2 * width, width), (192, 96))
        assert (found[:, : width // 2 - 1] == 0).all() and (found[:, width // 2 + 1 :] == 1).all()


# -------------------------------------------------------------------------------------------------------------- network
def test_network_has_the_size_it_promises() -> None:
    network = TinyParserNet()
    assert sum(p.numel() for p in network.parameters()) <= 2_000_000
    assert network.eval()(torch.zeros(2, 3, 192, 96)).shape == (2, 20, 96, 48)


def test_fused_network_is_the_same_function() -> None:
    network = random_network()
    x = torch.randn(3, 3, 96, 48)
    with torch.no_grad():
        expected, fused = network(x), fuse(network)(x)
    assert expected.abs().max() > 1
    torch.testing.assert_close(fused, expected, rtol=1e-4, atol=1e-4)
    assert not any("norm" in name for name in fuse(network).state_dict())


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [
        (LIP.labels, {(14, 15), (16, 17), (18, 19)}),
        (ATR.labels, {(9, 10), (12, 13), (14, 15)}),
        (PASCAL.labels, set()),
    ],
)
def test_mirror_exchanges_left_and_right_and_nothing_else(labels: tuple[str, ...], pairs: set[tuple[int, int]]) -> None:
    order = mirrored_order(labels)
    assert {(i, j) for i, j in enumerate(order) if i < j} == pairs
    assert [order[i] for i in order] == list(range(len(labels)))


def test_normalisation() -> None:
    pixels = torch.tensor([[[[0, 127, 255]]]], dtype=torch.uint8)
    torch.testing.assert_close(normalise(pixels)[0, :, 0, 0], torch.tensor([-2.0, (127 / 255 - 0.5) / 0.25, 2.0]))


# --------------------------------------------------------------------------------------------------------- weights file
def test_weights_are_half_precision_and_small(tmp_path: Path) -> None:
    path = tiny_weights(tmp_path)
    assert {t.dtype for t in load_file(str(path)).values()} == {torch.float16}
    network, size, digest = read_weights(path)
    assert size == INPUT and len(digest) == 12 and not network.training
    assert digest != read_weights(tiny_weights(tmp_path, seed=1))[2]


def test_bad_weights_are_refused(tmp_path: Path) -> None:
    good = tiny_weights(tmp_path)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[:-100])
    other = tmp_path / "other.safetensors"
    save_file({"w": torch.zeros(1)}, str(other))
    lacking = tmp_path / "lacking.safetensors"
    tensors = load_file(str(good))
    tensors.pop("score.bias")
    told = {"network": "schp-tiny", "format": "2", "widths": "[6, 8, 10]", "blocks": "[1, 1, 1]", "labels": "20", "input": "[64, 32]"}
    save_file(tensors, str(lacking), metadata=told)
    older = tmp_path / "older.safetensors"
    save_file(load_file(str(good)), str(older), metadata={key: value for key, value in told.items() if key not in ("format", "blocks")})
    for path, words in (
        (tmp_path / "none.safetensors", "No weights file"),
        (cut, "not a readable safetensors file"),
        (other, "another network than SCHP"),
        (lacking, "do not fit the network"),
        (older, "format 1; this version reads 2"),
        (tiny_weights(tmp_path, labels=7), "know 7 labels"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            open_session(path)
        assert path.name in caught.value.what and caught.value.remedy


def test_foreign_settings_are_refused() -> None:
    with pytest.raises(UserError, match="not for the parser schp"):
        PARSER.open(Settings(), CPU)


@pytest.mark.parametrize("values", [{"height": 2000}, {"width": 8}, {"batch_size": 0}])
def test_settings_are_checked(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Input should be"):
        SchpSettings(**values)


def test_sizes_that_the_network_cannot_halve_four_times_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'width' is 100, not a multiple of 16") as caught:
        open_session(tiny_weights(tmp_path), height=64, width=100)
    assert caught.value.remedy


# -------------------------------------------------------------------------------------------------------------- session
@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), max_size=5), batch_size=st.integers(1, 4))
def test_any_sizes_in_any_batches(tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]], batch_size: int) -> None:
    weights = tiny_weights(tmp_path_factory.mktemp("weights"))
    pictures = [picture(i, h, w) for i, (h, w) in enumerate(sizes)]
    maps = open_session(weights, batch_size=batch_size)(pictures)
    assert [m.shape for m in maps] == sizes
    assert all(m.dtype == np.uint8 and m.max() < 20 for m in maps)


def test_session_says_what_ran(tmp_path: Path) -> None:
    session = open_session(tiny_weights(tmp_path))
    assert session.name == "schp-tiny" and len(session.version) == 12 and len(session.labels) == 20
    assert session.input_hw == INPUT
    assert open_session(tiny_weights(tmp_path), height=96, width=48).input_hw == (96, 48)


def test_a_mirrored_picture_gives_mirrored_labels_with_flip(tmp_path: Path) -> None:
    """Averaging with the mirror image makes the parser symmetric: left and right change places, nothing else does."""
    weights = tiny_weights(tmp_path)
    image = picture(3, 64, 32)
    mirror = np.ascontiguousarray(image[:, ::-1])
    order = np.array(mirrored_order(LIP.labels), np.uint8)
    plain, flipped = open_session(weights, flip=False), open_session(weights, flip=True)
    assert open_session(weights).flip  # unless the settings say otherwise
    one, other = flipped([image, mirror])
    assert (order[other[:, ::-1]] == one).mean() > 0.995  # equal scores of two labels may fall either way
    assert len(np.unique(one)) > 3
    one, other = plain([image, mirror])
    assert (order[other[:, ::-1]] == one).mean() < 0.9


# ---------------------------------------------------------------------------------------------------------- what ships
def test_importing_the_plugin_loads_no_torch() -> None:
    code = "import sys, reidclip_schp; assert reidclip_schp.PARSER.name == 'schp'; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not BUNDLED_WEIGHTS.is_file(), reason="the weights are not trained yet")
def test_bundled_weights_and_their_card_agree() -> None:
    card = json.loads(BUNDLED_WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    assert BUNDLED_WEIGHTS.stat().st_size == card["bytes"] <= 4_000_000
    network, _, digest = read_weights(BUNDLED_WEIGHTS)
    assert card["name"] == "schp-tiny" and card["sha256"].startswith(digest)
    assert card["parameters"] == sum(p.numel() for p in network.parameters())
    assert card["limits"] and card["data"]["training_pictures"] > 0 and card["training"]["processor_minutes"] > 0
