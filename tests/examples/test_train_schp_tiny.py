"""The recipe of schp-tiny: labels stay on their pixels, losses and steps do what they say, a stopped training goes on as if it had not."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip_schp.tiny_network import TinyParserNet
from tests.fakes import REPOSITORY

RECIPE = REPOSITORY / "examples" / "train_schp_tiny"
sys.path.append(str(RECIPE))

from batches import example  # noqa: E402
from calibrate import best_offsets, calibrate, mean_iou  # noqa: E402
from losses import label_counts, label_weights, parsing_loss, sampling_chances  # noqa: E402
from muon import Muon, orthogonal  # noqa: E402
from pairs import Bank, Pair, fill, filled, letterboxed  # noqa: E402
from scenes import random_scene  # noqa: E402

SIZE = (64, 32)
MIRROR = np.array([*range(14), 15, 14, 17, 16, 19, 18], np.uint8)


def _train() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_schp_tiny", RECIPE / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _figure(height: int = 256, width: int = 128) -> Pair:
    """A picture whose grey value is 12 times the label: a person of three blobs, with a left and a right arm."""
    labels = np.zeros((height, width), np.uint8)
    middle = slice(width // 3, width - width // 3)
    labels[height // 8 : height // 4, middle] = 13
    labels[height // 4 : height // 2, middle] = 5
    labels[height // 2 : -height // 8, middle] = 9
    labels[height // 4 : height // 2, width // 5 : width // 3] = 15
    labels[height // 4 : height // 2, width - width // 3 : width - width // 5] = 14
    return Pair(np.repeat(labels[:, :, None] * 12, 3, axis=2), labels)


class TestPictures:
    @pytest.mark.parametrize("size", [(128, 64), (192, 96), (256, 128)])
    def test_labels_stay_on_their_pixels(self, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        """Inside a region a score's label is what the picture shows there, whatever was turned, shifted or mirrored."""
        monkeypatch.setattr("batches._tones", lambda rng: np.arange(256, dtype=np.uint8)[None].repeat(3, 0).T[None])
        mirrored = []
        for seed in range(60):
            picture, target = example(np.random.default_rng(seed), _figure(), size)
            assert picture.shape == (*size, 3) and target.shape == (size[0] // 2, size[1] // 2)
            near = np.lib.stride_tricks.sliding_window_view(np.pad(picture[:, :, 0], 1, mode="edge"), (4, 4))[::2, ::2]
            shown, flat = near.min((2, 3)) // 12, near.min((2, 3)) == near.max((2, 3))  # the score's 2x2 pixels and a pixel around
            assert flat.mean() > 0.6
            mirrored.append(bool((shown[flat & (target == 15)] == 14).any()))
            expected = MIRROR[shown] if mirrored[-1] else shown
            assert (expected[flat] == target[flat]).all()
            right, left = (np.nonzero(target == label)[1].mean() for label in (15, 14))
            assert right < left  # the mirror image of a left arm is a right arm: right stays at the left of the picture
        assert 15 < sum(mirrored) < 45

    def test_small_label_maps_are_not_shifted(self) -> None:
        """Half the size: label (i, j) is one of the four that it stands for, on average at their centre."""
        ramp = np.tile(np.arange(128, dtype=np.uint8), (256, 1))
        found = letterboxed(Pair(np.zeros((256, 128, 3), np.uint8), ramp), (128, 64)).labels
        assert set((found - 2 * np.arange(64)[None]).ravel()) <= {0, 1}
        odd = letterboxed(Pair(np.zeros((256, 128, 3), np.uint8), ramp), (192, 96)).labels[0].astype(float)
        assert abs((odd - ((np.arange(96) + 0.5) * 4 / 3 - 0.5)).mean()) < 0.2

    def test_scenes_have_the_size_and_known_labels(self) -> None:
        pairs = [_figure(), _figure()]
        scenes = [random_scene(np.random.default_rng(seed), pairs, 0, (128, 64)) for seed in range(20)]
        assert all(scene.picture.shape == (128, 64, 3) and scene.labels.shape == (128, 64) for scene in scenes)
        assert set(np.unique([scene.labels for scene in scenes])) == {0, 5, 9, 13, 14, 15}
        again = random_scene(np.random.default_rng(7), pairs, 0, (128, 64))
        assert (again.picture == scenes[7].picture).all() and (again.labels == scenes[7].labels).all()

    def test_a_bank_goes_on_where_it_stopped(self, tmp_path: Path) -> None:
        made: list[int] = []

        def make(index: int) -> Pair:
            if len(made) == 3:
                raise KeyboardInterrupt
            made.append(index)
            return Pair(np.full((*SIZE, 3), index, np.uint8), np.full(SIZE, index, np.uint8))

        stem = tmp_path / "bank"
        with pytest.raises(KeyboardInterrupt):
            fill(stem, Bank.create(stem, 5, SIZE), make, every=2)
        with pytest.raises(Exception, match="not there or not full"):
            Bank.open(stem)
        made.clear()
        fill(stem, Bank.create(stem, 5, SIZE), make, every=2)
        assert made == [2, 3, 4] and filled(stem) == 5
        assert [int(pair.labels[0, 0]) for pair in Bank.open(stem)] == [0, 1, 2, 3, 4]


class TestLosses:
    def test_right_scores_cost_nothing_and_wrong_ones_much(self) -> None:
        target = torch.randint(0, 4, (2, 8, 8), generator=torch.Generator().manual_seed(0))
        right = 40 * torch.nn.functional.one_hot(target, 20).permute(0, 3, 1, 2).float()
        weights = torch.ones(20)
        assert float(parsing_loss(right, target, weights)) < 1e-2
        assert float(parsing_loss(-right, target, weights)) > 2
        level = float(parsing_loss(torch.zeros_like(right), target, weights))
        assert level == pytest.approx(np.log(20) + 1, abs=0.2)  # cross-entropy of a guess among 20, and next to no overlap

    def test_rare_labels_weigh_more_and_are_shown_more(self) -> None:
        labels = np.zeros((100, 8, 8), np.uint8)
        labels[:, :4] = 5
        labels[0, 0, 0] = 3
        counts = label_counts(labels)
        weights = label_weights(counts, 0.25)
        assert weights[3] > weights[5] > 0 and weights[7] == 0
        share = torch.tensor(counts.sum(0) / counts.sum(), dtype=torch.float32)
        assert float((weights * share).sum()) == pytest.approx(1)
        chances = sampling_chances(counts)
        assert chances.sum() == pytest.approx(1) and chances[0] == pytest.approx(4 * chances[1])


class TestMuon:
    @settings(max_examples=20, deadline=None)
    @given(rows=st.integers(2, 40), columns=st.integers(2, 40), seed=st.integers(0, 99))
    def test_directions_are_nearly_orthogonal(self, rows: int, columns: int, seed: int) -> None:
        matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
        values = torch.linalg.svdvals(orthogonal(matrix))
        assert float(values.max()) < 1.4
        assert float(values[: max(1, len(values) // 2)].min()) > 0.5  # the smallest may start too near 0

    def test_a_step_has_the_length_of_the_rate(self) -> None:
        kernel = torch.nn.Parameter(torch.zeros(8, 4, 3, 3))
        kernel.grad = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1)) * 1e-3
        Muon([kernel], lr=0.1).step()
        values = torch.linalg.svdvals(kernel.detach().reshape(8, -1))
        assert float(values.min()) > 0.05
        assert float(values.max()) < 0.14


class TestCalibration:
    def test_offsets_undo_a_bias_of_the_scores(self) -> None:
        rng = torch.Generator().manual_seed(0)
        labels = torch.randint(0, 5, (4000,), generator=rng)
        scores = 3 * torch.nn.functional.one_hot(labels, 5).float() + torch.randn(4000, 5, generator=rng)
        bias = torch.tensor([0.0, 2.0, 0.0, -2.0, 0.0])
        offsets = best_offsets(scores + bias, labels)
        before, after = mean_iou(scores + bias, labels), mean_iou(scores + bias + offsets, labels)
        assert before < 0.75 < after and after == pytest.approx(mean_iou(scores, labels), abs=0.03)

    def test_mean_iou_is_that_of_the_definition(self) -> None:
        labels, found = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 1, 1, 2])
        assert mean_iou(torch.nn.functional.one_hot(found, 4).float(), labels) == pytest.approx((1 / 2 + 2 / 4) / 2)

    def test_the_network_scores_with_the_offsets_and_no_worse(self) -> None:
        torch.manual_seed(0)
        network = TinyParserNet((8, 8, 8), (1, 1, 1), fused=True).eval()
        x = torch.randn(1, 3, 128, 64)
        with torch.no_grad():
            before = network(x)
            offsets = calibrate(network, [_figure(128, 64)] * 2, (128, 64))
            after = network(x)
        torch.testing.assert_close(after - before, torch.tensor(offsets).view(1, -1, 1, 1).expand_as(before), atol=1e-2, rtol=0)
        assert any(offsets)

    def test_pictures_of_another_size_are_refused(self) -> None:
        with pytest.raises(SystemExit, match="128 x 64"):
            calibrate(TinyParserNet((8, 8, 8), (1, 1, 1), fused=True), [_figure()], (128, 64))


def test_the_rate_rises_once_more_behind_the_steps() -> None:
    train = _train()
    rates = [train.rate(step, 1000, 500) for step in range(1500)]
    assert max(rates) == rates[100] == 1
    assert rates[999] < 0.02 < 0.29 < rates[1000] < 0.31 and rates[1499] < 0.02
    assert rates[:1000] == [train.rate(step, 1000) for step in range(1000)]
    assert train.size_of(1400, 1000) == train.INPUT


def test_a_stopped_training_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = _train()
    monkeypatch.setattr(train, "STAGES", ((SIZE, 0.5), ((128, 64), 0.5)))
    monkeypatch.setattr(train, "CHECKPOINT_STEPS", 2)
    monkeypatch.setattr(train, "TinyParserNet", lambda: TinyParserNet((8, 8, 8), (1, 1, 1)))
    bank = Bank(*(np.stack([getattr(_figure(128, 64), part)] * 4) for part in ("picture", "labels")))

    def weights(name: str) -> dict[str, torch.Tensor]:
        options = argparse.Namespace(
            seed=0, steps=4, more=1, batch=2, lr=0.02, scene_share=0.5, checkpoint=tmp_path / f"{name}.safetensors"
        )
        network: TinyParserNet = train.fit(bank, bank, options)[0]
        return network.state_dict()

    straight = weights("straight")
    save, calls = train.save, []

    def stopping(*values: object) -> None:
        save(*values)
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        weights("stopped")
    monkeypatch.setattr(train, "save", save)
    resumed = weights("stopped")
    assert calls == [1]
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert not torch.equal(straight["score.weight"], TinyParserNet((8, 8, 8), (1, 1, 1)).state_dict()["score.weight"])
