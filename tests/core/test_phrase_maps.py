"""Transport maps: mass goes where the map is like the phrase, columns are what was asked for, evenness by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.image_features import ImageFeatures
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.trunk import trunk_config
from reidclip.errors import UserError
from reidclip.explain.overlay import ends_of_scale, overlay
from reidclip.explain.phrase_maps import Column, columns_of, evenness, nearer_phrases, phrase_maps
from reidclip.train.transport_guide import TransportGuide

PHRASES = (("tall", "short"), ("long legs", "short legs"), ("a long torso", "a short torso"))
RED, GREEN, BLUE, GREY = ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (1.0, 1, 1))


class Colours(ImageEncoder):
    """Its 4 x 4 map holds the mean colours of 16 x 16 pixels."""

    def __init__(self) -> None:
        super().__init__(trunk_config((64, 64), pooling="avg"), 3, 3, 0)
        self.pool = nn.AvgPool2d(16)

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        cells = self.pool(x).flatten(2).transpose(1, 2)
        return ImageFeatures(cells.mean(1), cells.mean(1), cells[:, 0, :0]), cells if places else None


def student(flip: bool = False) -> InferenceEncoder:
    return InferenceEncoder(Colours(), InferenceOptions(flip=flip)).eval()


def guide() -> TransportGuide:
    """Tall is red, short is green, long legs are green, short legs red, torsos blue and grey; nearly the cheapest transport."""
    texts = torch.tensor([[RED, GREEN], [GREEN, RED], [BLUE, GREY]])
    made = TransportGuide(texts, 3, hidden=0, regularisation=0.02, iterations=200, phrases=PHRASES)
    with torch.no_grad():
        made.psi[0].weight.copy_(torch.eye(3))  # type: ignore[operator]
        made.psi[0].bias.zero_()  # type: ignore[operator,union-attr]
    return made.eval()


def picture() -> Tensor:
    """The first column of cells is red, the second green, the two others blue: shares of 1/4, 1/4, 1/2."""
    x = torch.zeros(1, 3, 64, 64)
    x[:, 0, :, :16], x[:, 1, :, 16:32], x[:, 2, :, 32:] = 1, 1, 1
    return x


ALL = tuple(Column(pair) for pair in range(3))
CHOSEN = torch.tensor([[0, 0, 0]])  # tall (red), long legs (green), a long torso (blue)


def test_mass_goes_where_the_map_is_like_the_phrase() -> None:
    heat, used = phrase_maps(student(), guide(), picture(), ALL, CHOSEN)
    assert heat.shape == (1, 3, 4, 4) and torch.equal(used, CHOSEN)
    assert torch.allclose(heat.sum((2, 3)), torch.full((1, 3), 1 / 3))
    red, green, blue = heat[0]
    assert red[:, 0].sum() == pytest.approx(1 / 4, abs=1e-3) and green[:, 1].sum() == pytest.approx(1 / 4, abs=1e-3)
    assert blue[:, 2:].sum() == pytest.approx(1 / 3, abs=1e-3)
    assert red[:, 1].sum() == pytest.approx(0, abs=1e-3)


def test_mirrored_pictures_are_averaged_where_inference_does() -> None:
    own, _ = phrase_maps(student(), guide(), picture(), ALL, CHOSEN)
    both, _ = phrase_maps(student(flip=True), guide(), picture(), ALL, CHOSEN)
    assert torch.allclose(both, own, atol=1e-6)  # this encoder sees a mirrored picture as the mirrored map


def test_a_phrase_that_is_named_stands_for_its_pair() -> None:
    columns = (Column(0, 1), Column(0), Column(0, 0))
    heat, used = phrase_maps(student(), guide(), picture(), columns, CHOSEN)
    short, fitting, tall = heat[0]
    assert torch.equal(fitting, tall) and torch.equal(used, CHOSEN)
    assert short[:, 1].sum() > 0.1 > 1e-3 > tall[:, 1].sum()


def test_the_student_reads_what_its_map_is_nearer_to() -> None:
    half, green = picture(), torch.zeros(1, 3, 64, 64)
    half[:, :, :, 16:32] = half[:, :, :, :16]  # half red, half blue: grey is nearer to it (1 / sqrt 3) than blue is (1 / 2)
    green[:, 1] = 1
    _, used = phrase_maps(student(), guide(), torch.cat([half, green]), ALL)
    assert used.tolist() == [[0, 1, 1], [1, 0, 1]]
    blue = torch.tensor([[BLUE, BLUE, BLUE, RED]])
    assert nearer_phrases(guide(), blue).tolist() == [[0, 1, 0]]


def test_a_guide_of_another_student() -> None:
    other = TransportGuide(torch.ones(3, 2, 5), 7, phrases=PHRASES)
    with pytest.raises(UserError, match=r"7 channels wide, the student's map is \(16, 3\)"):
        phrase_maps(student(), other, picture(), ALL, CHOSEN)


def test_columns_by_name() -> None:
    assert columns_of(["tall", "A short torso", "long torso", "tall"], PHRASES) == (Column(0, 0), Column(2, 1), Column(2, 0))
    assert columns_of(["all"], PHRASES) == ALL and columns_of([], PHRASES) == ()
    assert [column.title(PHRASES) for column in (Column(1), Column(2, 1))] == ["long legs / short legs", "a short torso"]
    with pytest.raises(UserError, match="no phrase 'long leg'") as told:
        columns_of(["long leg"], PHRASES)
    assert "Did you mean 'long legs'?" in told.value.remedy


def test_evenness_by_hand() -> None:
    maps = np.zeros((4, 2, 4))
    maps[0], maps[1, 0, 0], maps[2, 0], maps[3, 0, :2] = 0.3, 5, 0.1, (0.8, 0.2)
    expected = [1, 1 / 8, 1 / 2, 0.8**-0.8 * 0.2**-0.2 / 8]
    assert evenness(maps) == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.floats(0.01, 10), min_size=6, max_size=6), st.floats(0.1, 9))
def test_evenness_is_blind_to_scale_and_order(cells: list[float], factor: float) -> None:
    heat = np.array(cells).reshape(2, 3)
    assert evenness(heat) == pytest.approx(evenness(factor * heat.T), rel=1e-9)
    assert 1 / 6 - 1e-9 <= evenness(heat) <= 1 + 1e-9


def test_a_scale_between_its_ends() -> None:
    heat = np.linspace(0.9, 1.2, 101).reshape(1, 101) / 1.05
    low, high = ends_of_scale([heat, 3 * heat])
    assert (low, high) == pytest.approx((0.906 / 1.05, 1.194 / 1.05), rel=1e-6)
    assert ends_of_scale([np.full((3, 3), 0.7)]) == pytest.approx((0.99, 1.01))
    flat = np.full((8, 8, 3), 128, np.uint8)
    mass = np.full((8, 8), 1 / 64)
    mass[0, 0], mass[7, 7] = 0.9 / 64, 1.1 / 64
    shown = overlay(flat, mass, 1.1, 0.9).astype(int).sum(axis=2)
    assert shown[0, 0] < shown[3, 3] < shown[7, 7]
    assert np.ptp(overlay(flat, mass, 40.0).astype(int).sum(axis=2)) < np.ptp(shown)
