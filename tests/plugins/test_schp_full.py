"""The full network of the parser `schp`: geometry, folding, session, command line. Its numbers are in tests/parity."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from reidclip.cli.app import app
from reidclip.data.label_sets import ATR, LABEL_SETS, LIP
from reidclip.errors import ReidclipError
from reidclip_schp import PARSER, crop
from reidclip_schp.abn import ActivatedBatchNorm
from reidclip_schp.backbone import Bottleneck
from reidclip_schp.crop import Crop, labels_at_picture_size, normalised, warp
from reidclip_schp.fold import fold
from reidclip_schp.mirror import mirrored_order
from reidclip_schp.network import PyramidPooling
from reidclip_schp.session import FullSession
from reidclip_schp.settings import SchpSettings
from tests.plugins.schp_fixtures import flat_state, tiny_weights
from tests.trees import picture, write_picture

SMALL = ("--set", "height=48", "--set", "width=32")


# ----------------------------------------------------------------------------------------------------------- geometry
def slow_bilinear(plane: np.ndarray, x: float, y: float) -> float:
    """One value between pixel centres, 0 outside; typed out."""
    total, x0, y0 = 0.0, int(np.floor(x)), int(np.floor(y))
    for row in (y0, y0 + 1):
        for column in (x0, x0 + 1):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                total += plane[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


sides = st.integers(1, 40)


@settings(max_examples=25, deadline=None)
@given(sides, sides, st.sampled_from([(17, 17), (24, 12), (11, 32)]))
def test_warp_is_bilinear_and_black_outside(h: int, w: int, size: tuple[int, int]) -> None:
    image = picture(h * 41 + w, h, w)
    found, map_back = warp(image, Crop.of((h, w), size)), Crop.of((h, w), size).inverse()
    assert found.shape == (*size, 3) and found.dtype == np.uint8
    for row in range(0, size[0], 3):
        for column in range(0, size[1], 3):
            x, y = map_back @ (column, row, 1)
            expected = [slow_bilinear(image[:, :, channel].astype(float), x, y) for channel in range(3)]
            assert np.abs(found[row, column] - expected).max() <= 0.501


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([(473, 473), (512, 512), (256, 128), (100, 300)]))
def test_the_maps_undo_each_other_and_the_picture_lies_inside(h: int, w: int, size: tuple[int, int]) -> None:
    found = Crop.of((h, w), size)
    forward, inverse = (np.vstack([m, [0, 0, 1]]) for m in (found.forward(), found.inverse()))
    np.testing.assert_allclose(forward @ inverse, np.eye(3), atol=1e-9)
    corners = forward @ np.array([[0, 0, 1], [w - 1, h - 1, 1]]).T
    assert corners[:2].min() >= -1.0  # an oblong input is a pixel off, as its aspect counts pixels and not distances
    assert corners[0].max() <= size[1] and corners[1].max() <= size[0]
    np.testing.assert_allclose(forward[:2] @ (*found.center, 1), ((size[1] - 1) / 2, (size[0] - 1) / 2), atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_scores_are_upsampled_first_and_then_warped_back(h: int, w: int) -> None:
    """Two interpolations, not one: typed out with the slow double loop."""
    scores = np.random.default_rng(h * 61 + w).normal(size=(3, 9, 9)).astype(np.float32)
    at = Crop.of((h, w), (33, 33))
    large = [np.array([[slow_bilinear(plane, x / 4, y / 4) for x in range(33)] for y in range(33)]) for plane in scores]
    found = labels_at_picture_size(torch.from_numpy(scores), at)
    assert found.shape == (h, w) and found.dtype == np.uint8
    for row in range(0, h, 5):
        for column in range(0, w, 5):
            x, y = at.forward() @ (column, row, 1)
            values = [slow_bilinear(plane, x, y) for plane in large]
            second, first = sorted(values)[-2:]
            assert found[row, column] == np.argmax(values) or first - second < 1e-4


def test_strips_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, at = torch.randn(5, 12, 12, generator=torch.Generator().manual_seed(1)), Crop.of((70, 30), (48, 48))
    whole = labels_at_picture_size(scores, at)
    for room in (1, 5 * 30 * 3, 5 * 30 * 69):
        monkeypatch.setattr(crop, "MAX_SCORES", room)
        assert (labels_at_picture_size(scores, at) != whole).mean() < 0.005  # sums may be taken in another order
    assert len(np.unique(whole)) == 5


def test_normalisation_is_that_of_bgr() -> None:
    x = normalised(torch.tensor([[[[255, 0, 0]]]], dtype=torch.uint8))[0, :, 0, 0]
    torch.testing.assert_close(x, torch.tensor([-0.406 / 0.225, -0.456 / 0.224, (1 - 0.485) / 0.229]))


# ------------------------------------------------------------------------------------------------------------ folding
@pytest.mark.parametrize(
    ("module", "channels"), [(lambda: Bottleneck(16, 8, stride=2), 16), (lambda: PyramidPooling(6, 5), 6)], ids=["block", "pyramid"]
)
def test_folding_keeps_the_function_where_weights_are_negative(module: Callable[[], torch.nn.Module], channels: int) -> None:
    torch.manual_seed(3)
    network = module().eval()
    for norm in network.modules():
        if isinstance(norm, ActivatedBatchNorm):
            for tensor in (norm.weight, norm.bias, norm.running_mean):
                torch.nn.init.normal_(tensor)
            torch.nn.init.uniform_(norm.running_var, 0.2, 2)
    x = torch.randn(2, channels, 13, 9)
    with torch.no_grad():
        expected = network(x)
        found = fold(copy.deepcopy(network))(x)
        for norm in network.modules():
            if isinstance(norm, ActivatedBatchNorm):
                norm.weight.neg_()
        same = network(x)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(same, expected, rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------ session
@pytest.fixture(scope="module")
def session(filled_checkpoint: Path) -> FullSession:
    found = PARSER.open(SchpSettings(weights=filled_checkpoint, height=49, width=65), torch.device("cpu"))
    assert isinstance(found, FullSession)
    return found


def test_session_says_what_ran(session: FullSession) -> None:
    assert (session.name, session.labels, session.input_hw) == ("schp", LIP.labels, (49, 65))
    assert len(session.version) == 12


def test_any_sizes_in_any_batches(session: FullSession) -> None:
    sizes = [(1, 1), (1, 50), (50, 1), (64, 32), (33, 70), (200, 9)]
    pictures = [picture(i, *size) for i, size in enumerate(sizes)]
    maps = session(pictures)
    assert [m.shape for m in maps] == sizes and session([]) == []
    assert all(m.dtype == np.uint8 and m.max() < 20 for m in maps)
    for image, expected in zip(pictures, maps, strict=True):
        assert (session([image])[0] == expected).mean() > 0.99


def test_flip_makes_the_scores_symmetric(session: FullSession) -> None:
    """With the mirrored picture averaged in, a mirrored picture has mirrored scores, left and right labels exchanged."""
    image = picture(4, 49, 65)
    mirror = np.ascontiguousarray(image[:, ::-1])
    order = mirrored_order(LIP.labels)
    plain = session.scores([image, mirror])
    flipped = copy.copy(session)
    flipped.flip = True
    one, other = flipped.scores([image, mirror])
    torch.testing.assert_close(other.flip(2)[order], one, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one, (plain[0] + plain[1].flip(2)[order]) / 2, rtol=1e-4, atol=1e-5)
    assert (plain[1].flip(2)[order] - plain[0]).abs().max() > 0.01


# ------------------------------------------------------------------------------------------------------- command line
@pytest.fixture
def people(tmp_path: Path) -> Path:
    for index in range(3):
        write_picture(tmp_path / "people" / f"{index}.png", index, 40, 20)
    return tmp_path / "people"


def call(tmp_path: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--store", str(tmp_path / "store"), "--workers", "0", "--device", "cpu"])


def refusal(result: Result) -> ReidclipError:
    assert isinstance(result.exception, ReidclipError), result.exception or result.output
    assert result.exception.exit_code == 2 and result.exception.remedy
    return result.exception


def test_parse_with_a_checkpoint(filled_checkpoint: Path, people: Path, tmp_path: Path) -> None:
    result = call(tmp_path, "parse", people, "--weights", filled_checkpoint, *SMALL, "--json")
    assert result.exit_code == 0, result.exception
    told = json.loads(result.stdout)
    assert told["method"] == "schp" and told["metrics"]["pictures"] == 3
    assert json.loads((Path(told["path"]) / "labels.json").read_text())["labels"] == list(LIP.labels)
    assert len(list(Path(told["path"]).glob("labels/*.png"))) == 3


def test_mask_parses_with_the_checkpoint_and_not_with_the_small_network(filled_checkpoint: Path, people: Path, tmp_path: Path) -> None:
    assert call(tmp_path, "mask", people, "--quiet").exit_code == 0  # schp-tiny's label maps are there already
    small = ("--set", "parse.height=48", "--set", "parse.width=32")
    result = call(tmp_path, "mask", people, "--weights", filled_checkpoint, *small, "--preview", "--json")
    assert result.exit_code == 0, result.exception
    told = json.loads(result.stdout)
    assert told["method"] == "schp" and Path(told["preview"]).is_file()


def test_label_maps_are_found_again_by_checkpoint(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However its path is written; not when its content has changed."""
    monkeypatch.chdir(tmp_path)
    small = ("--set", "parse.height=48", "--set", "parse.width=32")
    torch.save({"state_dict": flat_state()}, "a.pth")
    assert call(tmp_path, "parse", people, "--weights", "a.pth", *SMALL).exit_code == 0
    plan = call(tmp_path, "mask", people, "--weights", tmp_path / "a.pth", *small, "--dry-run")
    assert plan.exit_code == 0 and json.loads(plan.stdout)["label_maps"] == "parsing/schp-people@v1"
    torch.save({"state_dict": flat_state() | {"module.bn1.bias": torch.zeros(64)}}, "a.pth")
    plan = call(tmp_path, "mask", people, "--weights", "a.pth", *small, "--dry-run")
    assert plan.exit_code == 0 and json.loads(plan.stdout)["label_maps"] is None


@pytest.mark.parametrize(("count", "name"), [(20, "lip"), (18, "atr"), (7, "pascal")])
def test_the_label_set_is_recognised(count: int, name: str, people: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": flat_state(count)}, tmp_path / "any-name.pth")
    result = call(tmp_path, "parse", people, "--weights", tmp_path / "any-name.pth", *SMALL, "--json")
    assert result.exit_code == 0, result.exception
    table = json.loads((Path(json.loads(result.stdout)["path"]) / "labels.json").read_text())
    assert table["labels"] == list(LABEL_SETS[name].labels)
    assert call(tmp_path, "mask", people, "--parsing", "schp-people").exit_code == 0


def test_input_size_is_the_published_one(tmp_path: Path) -> None:
    torch.save({"state_dict": flat_state(len(ATR.labels))}, tmp_path / "atr.pth")
    opened = PARSER.open(SchpSettings(weights=tmp_path / "atr.pth"), torch.device("cpu"))
    assert isinstance(opened, FullSession) and opened.input_hw == (512, 512)


# ------------------------------------------------------------------------------------------------------- what it refuses
class Trap:
    """A pickle of this makes a folder when it is loaded carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def _lacking(path: Path) -> None:
    torch.save({"state_dict": {k: v for k, v in flat_state().items() if not k.startswith("module.edge.conv1")}}, path)


def _surplus(path: Path) -> None:
    torch.save({"state_dict": flat_state() | {"module.bn1.num_batches_tracked": torch.tensor(0)}}, path)


def _misshapen(path: Path) -> None:
    torch.save({"state_dict": flat_state() | {"module.edge.conv5.bias": torch.zeros(3)}}, path)


def _not_finite(path: Path) -> None:
    torch.save({"state_dict": flat_state() | {"module.bn1.bias": torch.full((64,), torch.nan)}}, path)


def _cut(path: Path) -> None:
    torch.save({"state_dict": flat_state()}, path)
    path.write_bytes(path.read_bytes()[:-2000])


def _cut_old(path: Path) -> None:
    torch.save({"state_dict": flat_state()}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-500])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is not a PyTorch checkpoint, or is cut off or damaged (0 bytes"),
    "a web page": (lambda path: path.write_text("<!DOCTYPE html><html>Too many downloads</html>"), "is not a PyTorch checkpoint"),
    "cut off": (_cut, "is cut off or damaged"),
    "cut off, old format": (_cut_old, "is cut off or damaged"),
    "a list": (lambda path: torch.save([1, 2], path), "holds no state dict of tensors"),
    "no tensors": (lambda path: torch.save({"state_dict": {"conv1.weight": 1}}, path), "holds no state dict of tensors"),
    "shells": (lambda path: torch.save({k: v.to("meta") for k, v in flat_state().items()}, path), "holds no state dict of tensors"),
    "a whole model": (lambda path: torch.save(torch.nn.Linear(2, 2), path), "holds torch.nn.modules.linear.Linear, not only tensors"),
    "another network": (
        lambda path: torch.save({"fc.weight": torch.zeros(2)}, path),
        "there is no 'fushion.3.weight' in it, but fc.weight",
    ),
    "other labels": (
        lambda path: torch.save({"state_dict": flat_state(5)}, path),
        "tells 5 labels apart, not 20 (LIP), 18 (ATR) or 7 (Pascal-Person-Part)",
    ),
    "lacking": (_lacking, "missing: edge.conv1.0.weight, edge.conv1.1.weight, edge.conv1.1.bias and 2 more"),
    "surplus": (_surplus, "unknown: bn1.num_batches_tracked"),
    "misshapen": (_misshapen, "of another shape: edge.conv5.bias (3,), not (2,)"),
    "not finite": (_not_finite, "holds numbers that are not finite, in bn1.bias"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_checkpoints_are_refused(case: str, people: Path, tmp_path: Path) -> None:
    write, words = BAD[case]
    path = tmp_path / "wrong.pth"
    write(path)
    error = refusal(call(tmp_path, "mask", people, "--weights", path))
    assert words in error.what and str(path) in error.what
    assert "schp-tiny" in error.remedy or "safetensors" in error.remedy


@pytest.mark.parametrize("form", ["zip", "old", "bare pickle"])
def test_code_in_a_checkpoint_is_not_run(form: str, people: Path, tmp_path: Path) -> None:
    path, trap = tmp_path / "trap.pth", tmp_path / "it-ran"
    content = {"state_dict": Trap(trap)}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    error = refusal(call(tmp_path, "parse", people, "--weights", path))
    assert "nothing of it was run" in error.what and "If you trust the file" in error.remedy
    assert not trap.exists()
    pickle.loads(pickle.dumps(content))
    assert trap.exists()


def test_a_missing_file_and_a_damaged_safetensors_copy(people: Path, tmp_path: Path) -> None:
    assert "No weights file" in refusal(call(tmp_path, "parse", people, "--weights", tmp_path / "none.pth")).what
    damaged = tmp_path / "copy.safetensors"
    damaged.write_bytes(tiny_weights(tmp_path).read_bytes()[:-10])
    assert "not a readable safetensors file" in refusal(call(tmp_path, "parse", people, "--weights", damaged)).what
