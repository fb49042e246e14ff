"""The head that predicts body shapes: what it says untrained, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reidclip.bodies.shape_head import SHAPE_FILE, ShapeHead
from reidclip.errors import UserError

WHAT = {"format": "pt", "head": "1", "body": "anny", "version": "abc"}


def head(shapes: int = 3, width: int = 4, **changes: str) -> ShapeHead:
    torch.manual_seed(0)
    bodies = torch.randn(20, shapes) * torch.arange(1.0, shapes + 1) + 5
    return ShapeHead.of_bodies(width, bodies, **{"body": "anny", "version": "abc", **changes})


def trained() -> ShapeHead:
    made = head()
    torch.nn.init.normal_(made.layers[-1].weight)
    return made


def test_untrained_it_predicts_the_mean_body_exactly() -> None:
    made = head()
    assert torch.equal(made(torch.randn(7, 4)), made.mean.expand(7, 3))


def test_it_predicts_in_deviations_of_the_training_bodies() -> None:
    made = ShapeHead(2, torch.tensor([1.0, -2]), torch.tensor([0.5, 0]), body="anny", version="abc", hidden=5)
    last = made.layers[-1]
    with torch.no_grad():
        last.bias.copy_(torch.tensor([2.0, 2]))
    made.eval()
    assert torch.equal(made(torch.zeros(1, 2)), torch.tensor([[2.0, -2]])), "1 + 0.5 * 2; a parameter without spread stays as it is"
    assert (made.width, made.shapes, made.layers[0].out_features) == (2, 2, 5)


def test_mean_and_std_of_the_bodies() -> None:
    made = ShapeHead.of_bodies(2, torch.tensor([[1.0, 5], [3, 5]]), body="anny", version="abc")
    assert made.mean.tolist() == [2, 5] and made.std.tolist() == pytest.approx([2**0.5, 0])


def test_every_parameter_learns_after_the_first_step() -> None:
    made = trained()
    made(torch.randn(8, 4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_the_length_of_features_is_nobodys_concern() -> None:
    made, x = trained(), torch.randn(9, 4)
    torch.testing.assert_close(made(x), made(0.01 * x + 5), rtol=1e-2, atol=1e-2)


def test_saved_and_loaded(tmp_path: Path) -> None:
    made, x = trained(), torch.randn(5, 4)
    made(3 * x + 1)  # its BatchNorm has seen something
    made.eval().save(tmp_path)
    again = ShapeHead.load(tmp_path)
    assert torch.equal(again(x), made(x)) and not again.training
    assert (again.body, again.version, again.width) == ("anny", "abc", 4)


@pytest.mark.parametrize("std", [[float("nan"), 1], [-1, 1], [1, 1, 1]])
def test_mean_and_std_that_cannot_be(std: list[float]) -> None:
    with pytest.raises(ValueError, match="mean"):
        ShapeHead(2, torch.zeros(2), torch.tensor(std), body="anny", version="abc")


class TestErrors:
    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="predicts no shapes") as error:
            ShapeHead.load(tmp_path)
        assert str(tmp_path) in error.value.what and "lambda_3d" in error.value.remedy

    def test_file_cut_off(self, tmp_path: Path) -> None:
        trained().save(tmp_path)
        whole = (tmp_path / SHAPE_FILE).read_bytes()
        (tmp_path / SHAPE_FILE).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match="cannot be read"):
            ShapeHead.load(tmp_path)

    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda state, told: told.pop("body"), "no shape head"),
            (lambda state, told: state.pop("layers.0.weight"), "no shape head"),
            (lambda state, told: state.pop("layers.2.bias"), "no shape head"),
            (lambda state, told: state.update(std=torch.ones(2)), "no shape head"),
            (lambda state, told: state.update(mean=torch.ones(9), std=torch.ones(9)), "no shape head"),
            (lambda state, told: state["layers.0.weight"].fill_(float("nan")), "finite"),
            (lambda state, told: told.update(head="2"), "format 2 is not known"),
        ],
    )
    def test_another_file(self, tmp_path: Path, spoil: object, says: str) -> None:
        trained().save(tmp_path)
        state, told = load_file(tmp_path / SHAPE_FILE), dict(WHAT)
        spoil(state, told)  # type: ignore[operator]
        save_file({key: value.clone() for key, value in state.items()}, tmp_path / SHAPE_FILE, metadata=told)
        with pytest.raises(UserError, match=says) as error:
            ShapeHead.load(tmp_path)
        assert str(tmp_path / SHAPE_FILE) in str(error.value)

    def test_bodies_of_another_model(self) -> None:
        with pytest.raises(UserError, match="body model 'anny', and mesh set m has bodies of 'smpl'"):
            head().check_body("smpl", "abc", "mesh set m")

    def test_bodies_of_another_file_of_the_model(self) -> None:
        with pytest.raises(UserError, match="the same numbers are other shapes"):
            head().check_body("anny", "abd", "mesh set m")

    def test_its_own_bodies(self) -> None:
        head().check_body("anny", "abc", "mesh set m")
