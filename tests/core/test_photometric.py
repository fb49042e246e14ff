"""Changes of colour: each against its definition, and as the loader applies them."""

from __future__ import annotations

import colorsys
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch import Tensor

from reidclip.data.augmix import OPERATIONS, Mix, draw_mix, mixed
from reidclip.data.clips import RandomClip
from reidclip.data.images import write_mask_png
from reidclip.data.loader import ImageSource, Loader, fetch
from reidclip.data.photometric import NONE, Changes, Photometric, after_geometry, before_geometry, draw_changes
from reidclip.data.transforms import NORMALISATIONS, Transform, finish, training
from reidclip.records import Sample
from tests.trees import picture, write_picture

HEIGHT, WIDTH = 32, 24
FULL = Photometric(grey=0.4, jitter=0.5, augmix=0.5)
SEEDS = st.integers(0, 2**32 - 1)


def planes(seed: int = 0) -> np.ndarray:
    return np.ascontiguousarray(picture(seed, HEIGHT, WIDTH).transpose(2, 0, 1))


def changed(changes: Changes, given_planes: np.ndarray) -> np.ndarray:
    result = before_geometry(changes, given_planes).copy()
    after_geometry(changes, result)
    return result


def jittered(which: str, amount: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) before and after, in float."""
    before = planes(seed)
    return tuple(p.transpose(1, 2, 0).astype(float) for p in (before, changed(Changes(jitter=((which, amount),)), before)))  # type: ignore[return-value]


def grey_of(rgb: np.ndarray) -> np.ndarray:
    return rgb @ (0.299, 0.587, 0.114)


def ramps() -> np.ndarray:
    """Red rises along x, green along y: interpolated, each is where it comes from."""
    y, x = np.mgrid[:61, :81]
    return np.stack([3 * x, 4 * y, 0 * x], axis=-1).astype(np.uint8)


class TestDrawing:
    @given(SEEDS)
    def test_what_never_happens_draws_nothing(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        assert draw_changes(Photometric(), rng) == NONE
        assert rng.random() == np.random.default_rng(seed).random()

    @given(SEEDS, st.floats(1, 10))
    def test_within_bounds_and_the_same_again(self, seed: int, severity: float) -> None:
        always = Photometric(1, 1, augmix=1, severity=severity)
        changes = draw_changes(always, np.random.default_rng(seed))
        assert changes == draw_changes(always, np.random.default_rng(seed)) and changes.grey and changes.mix is not None
        reach = {"brightness": 0.15, "contrast": 0.1, "saturation": 0.05, "hue": 0.05}
        assert {name for name, _ in changes.jitter} == set(reach)
        assert all(abs(amount - (name != "hue")) <= reach[name] for name, amount in changes.jitter)
        mix = changes.mix
        assert 0 <= mix.share <= 1 and sum(mix.weights) == pytest.approx(1) and len(mix.weights) == len(mix.chains) == 3
        assert all(1 <= len(chain) <= 3 and all(0.01 <= abs(level) <= severity / 10 for _, level in chain) for chain in mix.chains)

    def test_frequencies(self) -> None:
        drawn = [draw_changes(Photometric(0.1, 0.3, augmix=0.6), np.random.default_rng(seed)) for seed in range(4000)]
        shares = [np.mean([c.grey for c in drawn]), np.mean([bool(c.jitter) for c in drawn]), np.mean([c.mix is not None for c in drawn])]
        np.testing.assert_allclose(shares, [0.1, 0.3, 0.6], atol=0.035)  # 4.5 standard deviations
        steps = [name for c in drawn if c.mix for chain in c.mix.chains for name, _ in chain]
        assert {*steps} == {*OPERATIONS} and max(map(steps.count, OPERATIONS)) < 1.2 * min(map(steps.count, OPERATIONS))
        assert {c.jitter[0][0] for c in drawn if c.jitter} == {"brightness", "contrast", "saturation", "hue"}
        assert abs(np.mean([c.mix.share for c in drawn if c.mix]) - 0.5) < 0.03  # Beta(1, 1) is uniform


class TestGreyAndJitter:
    def test_nothing_is_the_identity(self) -> None:
        given_planes = planes()
        assert before_geometry(NONE, given_planes) is given_planes
        np.testing.assert_array_equal(changed(NONE, given_planes), given_planes)
        for same in ("brightness", "contrast", "saturation"):
            np.testing.assert_array_equal(*jittered(same, 1.0))

    def test_grey_is_luma_in_all_channels(self) -> None:
        before = planes()
        grey = changed(Changes(grey=True), before)
        assert grey.dtype == np.uint8 and (grey[0] == grey[1]).all() and (grey[0] == grey[2]).all()
        np.testing.assert_allclose(grey[0], grey_of(before.transpose(1, 2, 0)), atol=0.51)

    def test_a_kept_picture_is_left_alone(self) -> None:
        """Pictures in memory or in a packed file may be read only."""
        kept = planes()
        kept.flags.writeable = False
        changed(Changes(True, (("hue", 0.1),), draw_mix(3, np.random.default_rng(0))), kept)

    @pytest.mark.parametrize("factor", [0.85, 1.15])
    def test_brightness_contrast_saturation_by_their_definitions(self, factor: float) -> None:
        for which in ("brightness", "contrast", "saturation"):
            x, result = jittered(which, factor)
            centre = {"brightness": 0.0, "contrast": round(grey_of(x).mean()), "saturation": grey_of(x).round()[..., None]}[which]
            np.testing.assert_allclose(result, np.clip(centre + factor * (x - centre), 0, 255), atol=0.51)

    @pytest.mark.parametrize("turn", [-0.25, 0.05, 0.5])
    def test_hue_turns_every_colour(self, turn: float) -> None:
        x, result = jittered("hue", turn)
        expected = np.empty_like(x)
        for y, column in np.ndindex(x.shape[:2]):
            h, s, v = colorsys.rgb_to_hsv(*(x[y, column] / 255))
            expected[y, column] = 255 * np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
        np.testing.assert_allclose(result, expected, atol=0.51)
        assert abs(result - x).mean() > 4, "no colour moved"


class TestAugMix:
    @pytest.mark.parametrize("level", [0.05, -0.3, 0.6, 1.0])
    def test_posterise_and_solarise_as_pillow_has_them(self, level: float) -> None:
        x = picture(0, HEIGHT, WIDTH)
        pillow = Image.fromarray(x)
        bits = max(1, 4 - int(4 * abs(level)))
        np.testing.assert_array_equal(OPERATIONS["posterise"](x, level), ImageOps.posterize(pillow, bits))
        np.testing.assert_array_equal(OPERATIONS["solarise"](x, level), ImageOps.solarize(pillow, 256 - int(256 * abs(level))))

    def test_autocontrast_and_equalise_stretch_each_channel(self) -> None:
        x = (picture(0, HEIGHT, WIDTH) // np.array([2, 3, 5], np.uint8) + np.array([20, 90, 7], np.uint8)).astype(np.uint8)
        low, high = x.min((0, 1)).astype(float), x.max((0, 1)).astype(float)
        np.testing.assert_allclose(OPERATIONS["autocontrast"](x, 0.1), (x - low) * 255 / (high - low), atol=0.51)
        equal = OPERATIONS["equalise"](x, 0.1)
        for channel in range(3):
            plane = x[..., channel]
            ranks = [(plane < v).sum() / (plane < plane.max()).sum() for v in plane.ravel()]  # share of what lies below
            np.testing.assert_allclose(equal[..., channel].ravel(), 255 * np.array(ranks), atol=0.51)

    @pytest.mark.parametrize("name", ["autocontrast", "equalise"])
    def test_one_colour_alone_stays(self, name: str) -> None:
        x = np.full((4, 5, 3), (9, 0, 255), np.uint8)
        np.testing.assert_array_equal(OPERATIONS[name](x, 0.2), x)

    @pytest.mark.parametrize("level", [-0.7, 0.4])
    def test_geometry_of_ramps(self, level: float) -> None:
        x, (y_at, x_at) = ramps(), np.mgrid[:61, :81].astype(float)
        angle = math.radians(30 * level)
        dx, dy = x_at - 40, y_at - 30
        comes_from = {
            "rotate": (40 + math.cos(angle) * dx - math.sin(angle) * dy, 30 + math.sin(angle) * dx + math.cos(angle) * dy),
            "shear_x": (x_at - 0.3 * level * y_at, y_at),
            "shear_y": (x_at, y_at - 0.3 * level * x_at),
            "translate_x": (x_at - int(level * 81 / 3), y_at),
            "translate_y": (x_at, y_at - int(level * 61 / 3)),
        }
        for name, (from_x, from_y) in comes_from.items():
            result = OPERATIONS[name](x, level).astype(float)
            inside = (from_x >= 0) & (from_x <= 80) & (from_y >= 0) & (from_y <= 60)
            assert 0.4 < inside.mean() < 1
            np.testing.assert_allclose(result[inside][:, 0], 3 * from_x[inside], atol=1, err_msg=name)
            np.testing.assert_allclose(result[inside][:, 1], 4 * from_y[inside], atol=1, err_msg=name)
            outside = (from_x < -1) | (from_x > 81) | (from_y < -1) | (from_y > 61)
            assert outside.any() and not result[outside].any(), name

    @given(SEEDS)
    @settings(max_examples=40, deadline=None)
    def test_mixture_is_the_papers(self, seed: int) -> None:
        """(1 - m) x + m sum_i w_i chain_i(x), rounded once."""
        x, mix = picture(3, HEIGHT, WIDTH), draw_mix(5, np.random.default_rng(seed))
        expected = (1 - mix.share) * x.astype(float)
        for weight, chain in zip(mix.weights, mix.chains, strict=True):
            changing = x
            for name, level in chain:
                changing = OPERATIONS[name](changing, level)
            expected += mix.share * weight * changing
        result = mixed(x, mix)
        assert result.dtype == np.uint8 and result.shape == x.shape
        np.testing.assert_allclose(result, expected, atol=0.501)

    def test_extreme_shares(self) -> None:
        x = picture(3, HEIGHT, WIDTH)
        chains = ((("solarise", 1.0),), (("rotate", 0.3),), (("equalise", 0.1),))
        np.testing.assert_array_equal(mixed(x, Mix(0.0, (0.2, 0.3, 0.5), chains)), x)
        np.testing.assert_array_equal(mixed(x, Mix(1.0, (1.0, 0.0, 0.0), chains)), 255 - x)
        np.testing.assert_array_equal(mixed(x, Mix(1.0, (0.0, 0.0, 1.0), chains)), OPERATIONS["equalise"](x, 0.1))


@pytest.fixture
def samples(tmp_path: Path) -> tuple[Sample, ...]:
    for i in range(6):
        write_picture(tmp_path / f"{i}.png", i)
        write_mask_png(tmp_path / f"m{i}.png", np.random.default_rng(i).integers(0, 2, (32, 16), dtype=np.uint8))
    return tuple(Sample(f"{i}.png", i // 2, i % 3, i, "train") for i in range(6))


def batch(root: Path, samples: tuple[Sample, ...], plan: list[list[int]], photometric: Photometric, **how: Any) -> list[dict[str, Tensor]]:
    source = ImageSource([root / f"{i}.png" for i in range(6)], [root / f"m{i}.png" for i in range(6)])
    transform = replace(training(32, 16), photometric=photometric)
    return list(fetch(source, samples, plan, transform=transform, **{"workers": 0, "seed": 3, **how}))


class TestInTheLoader:
    PLAN = ([3, 3, 0, 5], [1, 2, 4, 0])

    def test_nothing_but_the_pictures_changes(self, tmp_path: Path, samples: tuple[Sample, ...]) -> None:
        plain, changed_ones = (batch(tmp_path, samples, [*self.PLAN], p) for p in (Photometric(), FULL))
        for a, b in zip(plain, changed_ones, strict=True):
            assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a if key != "image")
            assert b["image"].dtype == torch.uint8 and b["image"].shape == a["image"].shape
        assert any(not torch.equal(a["image"], b["image"]) for a, b in zip(plain, changed_ones, strict=True))

    def test_depends_on_seed_epoch_and_index_alone(self, tmp_path: Path, samples: tuple[Sample, ...]) -> None:
        def images(plan: list[list[int]], **how: Any) -> Tensor:
            return torch.cat([b["image"] for b in batch(tmp_path, samples, plan, FULL, **how)])

        whole = images([[0, 1, 2, 3, 4, 5]], epoch=1)
        order = [4, 2, 0, 5, 1, 3]
        assert torch.equal(images([order[:2], order[2:]], epoch=1, workers=2), whole[order])
        assert torch.equal(images([[0, 1, 2, 3, 4, 5]], epoch=1, part=(1, 2)), whole[3:])
        assert not torch.equal(images([[0, 1, 2, 3, 4, 5]], epoch=2), whole)
        assert not torch.equal(images([[0, 1, 2, 3, 4, 5]], epoch=1, seed=4), whole)
        twice = images([[1] * 8])
        assert len({row.numpy().tobytes() for row in twice}) == 8, "each occurrence has its own changes"

    def test_grey_pictures_are_grey_to_the_end(self, tmp_path: Path, samples: tuple[Sample, ...]) -> None:
        (found,) = batch(tmp_path, samples, [[0, 1, 2]], Photometric(grey=1))
        assert torch.equal(found["image"][:, :1].expand(-1, 3, -1, -1), found["image"])

    def test_derived_pictures_come_from_the_changed_picture(self, tmp_path: Path, samples: tuple[Sample, ...]) -> None:
        (found,) = batch(tmp_path, samples, [[0, 1, 2]], Photometric(grey=1, augmix=1))
        views = finish({**found, "erase": torch.zeros(3, 4, dtype=torch.int64)}, NORMALISATIONS["half"], ("shield", "clothes"))
        keep = found["keep"].bool().unsqueeze(1)
        assert torch.equal(torch.where(keep, views["x_s"], views["x_c"]), views["x"])

    def test_frames_of_a_clip_change_alike(self, tmp_path: Path) -> None:
        for i in range(4):
            write_picture(tmp_path / f"{i}.png", 7)  # four times the same picture
        source = ImageSource([tmp_path / f"{i}.png" for i in range(4)], groups=[range(4)])
        transform = replace(training(32, 16), photometric=Photometric(0.5, 1, augmix=1))
        tracklet = Sample("a", 0, 0, 0, "train", frames=tuple(f"{i}.png" for i in range(4)))
        loader = Loader(source, [tracklet], transform=transform, workers=0, clip=RandomClip(3, 1))
        for epoch in range(3):
            ((first, second, third),) = next(loader.epoch(epoch, [[0]]))["image"]
            assert torch.equal(first, second) and torch.equal(first, third)

    def test_testing_changes_nothing(self) -> None:
        assert Transform(32, 16).photometric.nothing and training().photometric.nothing
