"""Diagnostics of an evaluation on features whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.evaluation.diagnostics.histogram import BINS, two_histograms
from reidclip.evaluation.diagnostics.pairs import pair_distances
from reidclip.evaluation.diagnostics.probe import clothes_probe
from reidclip.evaluation.diagnostics.project import MOST_PICTURES, choose_people, project
from reidclip.evaluation.diagnostics.prompts import prompt_distances
from reidclip.evaluation.matching import Labels
from reidclip.records import Rule, Sample


def of(first: list[float], second: list[float]):  # type: ignore[no-untyped-def]
    return two_histograms(lambda: iter([(torch.tensor(first), torch.tensor(second))]))


class TestHistograms:
    def test_apart_alike_and_reversed(self) -> None:
        apart, alike, reverse = of([0.0, 0.1], [0.8, 1.0]), of([0.0, 0.5, 1.0], [0.0, 0.5, 1.0]), of([1.0], [0.0])
        assert (apart.overlap, apart.below) == (0, 1)
        assert (alike.overlap, alike.below) == (pytest.approx(1), pytest.approx(0.5))
        assert (reverse.overlap, reverse.below) == (0, 0)

    def test_half_overlap_by_hand(self) -> None:
        """0 and 1 against 1 and 2: half of each sample lies in the bin of 1; of 4 pairs 3 are in order and one is a tie."""
        found = of([0.0, 1.0], [1.0, 2.0])
        assert found.overlap == 0.5 and found.below == (3 + 0.5) / 4
        assert found.means == pytest.approx((0.5, 1.5)) and found.deviations == pytest.approx((0.5, 0.5))
        assert found.first.sum() == 2 and found.first[0] == 1 and len(found.edges) == BINS + 1

    def test_samples_of_one_distribution_overlap(self) -> None:
        """Few values in many bins would seem apart: the bins follow the smaller sample."""
        draw = torch.Generator().manual_seed(0)
        for count, bins in ((60, 10), (2_000, 25), (200_000, 100)):
            found = of(torch.randn(count, generator=draw).tolist(), torch.randn(200_000, generator=draw).tolist())
            assert found.overlap_bins == bins and found.overlap > 0.88

    def test_an_empty_sample_gives_none(self) -> None:
        assert of([], [1.0]) is None and of([], []) is None

    def test_one_value_alone(self) -> None:
        found = of([0.3], [0.3])
        assert found.overlap == 1 and found.below == 0.5

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(1, 7))
    def test_auc_against_all_pairs_and_blocks_do_not_matter(self, first: list[int], second: list[int], size: int) -> None:
        a, b = (torch.tensor(values, dtype=torch.float32) for values in (first, second))
        whole = of(a.tolist(), b.tolist())
        order = np.subtract.outer(np.array(first), np.array(second))
        assert whole.below == pytest.approx((order < 0).mean() + (order == 0).mean() / 2)
        count = max(-(-len(a) // size), -(-len(b) // size))
        cut = two_histograms(lambda: iter([(a[i * size : (i + 1) * size], b[i * size : (i + 1) * size]) for i in range(count)]))
        assert (cut.first == whole.first).all() and cut.below == pytest.approx(whole.below) and cut.means == pytest.approx(whole.means)


class TestPairs:
    def test_by_hand(self) -> None:
        """Two people at right angles; a query, a match at 60 degrees, a picture of its own camera (ignored), and a stranger."""
        query, gallery = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5, 3**0.5 / 2], [1.0, 0.0], [0.0, 5.0]])
        labels = Labels(np.array([1]), np.array([0]), np.array([0]))
        others = Labels(np.array([1, 1, 2]), np.array([1, 0, 0]), np.array([0, 0, 1]))
        found = pair_distances(query, gallery, labels, others, Rule.STD)
        assert found is not None and (found.first.sum(), found.second.sum()) == (1, 1)
        assert found.means == pytest.approx((0.5, 1.0)) and found.overlap == 0 and found.below == 1

    def test_blocks_do_not_matter_and_counts_are_those_of_the_rule(self) -> None:
        draw = np.random.default_rng(0)
        labels = [Labels(draw.integers(-1, 4, n), draw.integers(0, 2, n), draw.integers(0, 3, n)) for n in (13, 17)]
        features = [torch.from_numpy(draw.normal(size=(n, 6))) for n in (13, 17)]
        whole = pair_distances(*features, *labels, Rule.CC)
        small = pair_distances(*features, *labels, Rule.CC, block_elements=20)
        assert whole is not None and small is not None and (whole.first == small.first).all() and (whole.second == small.second).all()
        q, g = labels
        same = (q.pids[:, None] == g.pids) & (q.pids[:, None] >= 0)
        kept = (q.camids[:, None] != g.camids) & (q.clothes[:, None] != g.clothes)
        assert whole.first.sum() == (same & kept).sum()
        assert whole.second.sum() == ((q.pids[:, None] != g.pids) & (q.pids[:, None] >= 0)).sum()

    def test_nobody_to_compare_with(self) -> None:
        alone = Labels(np.array([1]), np.array([0]), np.array([0]))
        assert pair_distances(torch.ones(1, 2), torch.ones(1, 2), alone, alone, Rule.STD) is None


def people(count: int, outfits: int, pictures: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) identities and outfits: every person has as many outfits, every outfit as many pictures."""
    pid = np.repeat(np.arange(count), outfits * pictures)
    worn = np.tile(np.repeat(np.arange(outfits), pictures), count)
    return pid, pid * outfits + worn


class TestProbe:
    def test_a_feature_that_is_the_clothes(self) -> None:
        pid, clothes = people(12, 3, 5)
        found = clothes_probe(torch.nn.functional.one_hot(torch.from_numpy(clothes)).float(), pid, pid, clothes)
        assert found is not None and found.accuracy == 1 and found.interval == (1, 1)
        assert found.chance == pytest.approx(1 / 3) and found.variance_share == pytest.approx(1)
        assert (found.people, found.outfits, found.pictures) == (12, 36, 180)

    @pytest.mark.parametrize("outfits", [2, 3])
    def test_a_feature_that_knows_nothing_of_clothes_is_at_chance(self, outfits: int) -> None:
        """Identity and noise: over many sets the accuracy is chance, and the interval holds it nearly always."""
        inside, accuracies, shares = 0, [], []
        for seed in range(40):
            draw = torch.Generator().manual_seed(seed)
            pid, clothes = people(15, outfits, 5)
            who = torch.randn(15, 20, generator=draw)[torch.from_numpy(pid)]
            found = clothes_probe(3 * who + torch.randn(len(pid), 20, generator=draw), pid, pid, clothes, resamples=400, seed=seed)
            assert found is not None and found.interval is not None and found.chance == pytest.approx(1 / outfits)
            accuracies.append(found.accuracy)
            shares.append(found.variance_share)
            inside += found.interval[0] <= 1 / outfits <= found.interval[1]
        assert np.mean(accuracies) == pytest.approx(1 / outfits, abs=3 * np.std(accuracies) / 40**0.5)
        assert np.mean(shares) == pytest.approx(0, abs=3 * np.std(shares) / 40**0.5)
        assert inside >= 33  # 38 expected of 40; a percentile interval of 15 people is a little narrow

    def test_who_somebody_is_does_not_help(self) -> None:
        """One-hot identity: nothing is left within a person, every outfit ties, and the first is taken: exactly 1 of k."""
        pid, clothes = people(10, 4, 6)
        found = clothes_probe(torch.nn.functional.one_hot(torch.from_numpy(pid)).float(), pid, pid, clothes)
        assert found is not None and found.accuracy == pytest.approx(0.25) and found.variance_share == pytest.approx(0, abs=0.05)

    def test_more_pictures_of_one_outfit_do_not_help(self) -> None:
        """Noise, and one outfit with ten times the pictures: taking the frequent one is right half of the time, not ten in eleven."""
        accuracies = []
        for seed in range(30):
            draw = torch.Generator().manual_seed(100 + seed)
            clothes = np.tile(np.array([0] * 40 + [1] * 4), 12) + 2 * np.repeat(np.arange(12), 44)
            pid = clothes // 2
            found = clothes_probe(torch.randn(len(pid), 8, generator=draw), pid, pid, clothes, resamples=0, seed=seed)
            assert found is not None and found.interval is None and found.pictures == 12 * 8
            accuracies.append(found.accuracy)
        assert np.mean(accuracies) == pytest.approx(0.5, abs=3 * np.std(accuracies) / 30**0.5)

    def test_between_chance_and_certainty(self) -> None:
        """The weaker clothes speak, the lower both measures."""
        pid, clothes = people(20, 2, 6)
        draw = torch.Generator().manual_seed(0)
        signal = torch.randn(40, 10, generator=draw)[torch.from_numpy(clothes)]
        noise = torch.randn(len(pid), 10, generator=draw)
        found = [
            clothes_probe(torch.cat([strength * signal + noise, torch.ones(len(pid), 1)], 1), pid, pid, clothes) for strength in (0.3, 1, 4)
        ]
        assert 0.5 < found[0].accuracy < found[1].accuracy <= found[2].accuracy == 1  # type: ignore[union-attr]
        assert 0 < found[0].variance_share < found[1].variance_share < found[2].variance_share < 1  # type: ignore[union-attr]

    def test_within_a_camera_the_camera_does_not_help(self) -> None:
        """A feature that is the camera, and outfits that mostly change with it: 3/4 within identity, 1/2 within camera."""
        pid = np.repeat(np.arange(8), 16)
        camera = np.tile(np.repeat([0, 1], 8), 8)
        clothes = 2 * pid + np.where(np.tile(np.arange(8), 16) < 2, 1 - camera, camera)
        x = torch.nn.functional.one_hot(torch.from_numpy(camera)).float()
        by_person, by_camera = clothes_probe(x, pid, pid, clothes), clothes_probe(x, pid, 2 * pid + camera, clothes)
        assert by_person is not None and by_camera is not None
        assert by_person.accuracy == pytest.approx(0.75) and by_camera.accuracy == pytest.approx(0.5)

    def test_who_takes_part(self) -> None:
        """A person in one outfit, an outfit of one picture, and unknown clothes take no part."""
        pid = np.array([1, 1, 2, 2, 2, 3, 3, 3, 3, 3])
        clothes = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, -1])
        found = clothes_probe(torch.eye(10), pid, pid, clothes)
        assert found is not None and (found.people, found.outfits, found.pictures) == (1, 2, 4)
        assert clothes_probe(torch.eye(10)[:5], pid[:5], pid[:5], clothes[:5]) is None
        assert clothes_probe(torch.eye(1)[:0], pid[:0], pid[:0], clothes[:0]) is None

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10_000))
    def test_order_scale_and_numbers_do_not_matter(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        pid, clothes = people(6, 2, 4)
        x = torch.from_numpy(draw.normal(size=(len(pid), 7)))
        plain = clothes_probe(x, pid, pid, clothes, resamples=0)
        renamed = clothes_probe(5 * x, 900 - 7 * pid, 900 - 7 * pid, 1000 + 3 * clothes, resamples=0)
        assert plain is not None and renamed is not None
        assert renamed.variance_share == pytest.approx(plain.variance_share) and renamed.chance == plain.chance


class TestPrompts:
    def test_by_hand(self) -> None:
        """Prompts along two axes; shielding images lie on their prompt, clothes images on the other's."""
        text = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        labels = torch.tensor([0, 1, 1])
        x_s, x_c = torch.eye(2)[labels] * 2, torch.eye(2)[1 - labels]
        found = prompt_distances(text, {"x": x_s + x_c, "x_s": x_s, "x_c": x_c}, labels)
        assert found is not None and found.closer == 1 and found.histograms.means == pytest.approx((0, 1))
        assert found.accuracy["x_s"] == 1 and found.accuracy["x_c"] == 0 and found.histograms.below == 1


class TestMap:
    def samples(self, pictures: dict[int, list[int]]) -> list[Sample]:
        """Identity -> clothes of its pictures."""
        return [Sample(f"{pid}/{n:03d}.jpg", pid, 0, c, "gallery") for pid, worn in pictures.items() for n, c in enumerate(worn)]

    def test_people_with_most_outfits_come_first(self) -> None:
        samples = self.samples({1: [10] * 9, 2: [20, 21], 3: [30, 31, 31], -1: [40, 41, 42], 4: [50]})
        chosen = [samples[i].pid for i in choose_people(samples, 2)]
        assert chosen == [3, 3, 3, 2, 2]

    def test_many_pictures_are_thinned_over_all_outfits(self) -> None:
        samples = self.samples({1: [10] * 100 + [11] * 100})
        chosen = [samples[i].clothes_id for i in choose_people(samples, 1)]
        assert len(chosen) == MOST_PICTURES and chosen.count(10) == chosen.count(11)

    def test_components_keep_what_lies_in_a_plane(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Unit vectors near one point: distances in the plane are those in space."""
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        angles = torch.linspace(0, 2 * torch.pi, 13)[:-1]
        circle = torch.stack([0.1 * angles.cos(), 0.1 * angles.sin(), torch.ones(12), torch.zeros(12)], dim=1)
        unit = torch.nn.functional.normalize(circle.double(), dim=1)
        points, way = project(circle)
        assert way == "pca"
        assert torch.cdist(torch.from_numpy(points), torch.from_numpy(points)).numpy() == pytest.approx(
            torch.cdist(unit, unit).numpy(), abs=1e-7
        )

    def test_t_sne_keeps_groups_together(self) -> None:
        pytest.importorskip("sklearn")
        draw = torch.Generator().manual_seed(0)
        centres = torch.randn(3, 20, generator=draw).repeat_interleave(20, 0)
        points, way = project(centres + 0.05 * torch.randn(60, 20, generator=draw))
        again, _ = project(centres + 0.05 * torch.randn(60, 20, generator=torch.Generator().manual_seed(1)))
        assert way == "t-sne" and points.shape == again.shape == (60, 2)
        distances = torch.cdist(torch.from_numpy(points), torch.from_numpy(points)).fill_diagonal_(torch.inf)
        nearest = distances.argmin(dim=1).numpy()
        assert (nearest // 20 == np.arange(60) // 20).all()

    def test_one_point_is_no_map(self) -> None:
        with pytest.raises(ValueError, match="at least two"):
            project(torch.ones(1, 3))
