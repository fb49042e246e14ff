"""What must hold for every re-ranking."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.errors import UserError
from reidclip.evaluation.rerank import rerank_candidates, rerank_distances, reranked_blocks
from reidclip.evaluation.settings import RerankSettings

SEEDS = st.integers(0, 2**32 - 1)


def made_up(seed: int, queries: int = 4, items: int = 20, width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.nn.functional.normalize(torch.randn(queries + items, width, generator=torch.Generator().manual_seed(seed)), dim=1)
    return rows[:queries], rows[queries:]


def on_a_grid(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Few places, so that many pictures lie in the same one; all differences are exact in single precision."""
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.integers(0, 2, (16, 4)).astype(np.float32))
    rows[8:] = 1 - rows[:8]  # the mean row is exact too
    return rows[:4], rows[4:]


K1 = st.integers(1, 12)
SETTINGS = st.builds(RerankSettings, k1=K1, k2=st.integers(1, 16), lambda_=st.sampled_from([0.0, 0.3, 0.9]))


@settings(deadline=None, max_examples=15)
@given(SEEDS, SETTINGS)
def test_distances_lie_between_0_and_1(seed: int, chosen: RerankSettings) -> None:
    found = rerank_distances(*made_up(seed), chosen)
    assert found.shape == (4, 20)
    assert found.dtype == torch.float32
    assert float(found.min()) >= -1e-6
    assert float(found.max()) <= 1 + 1e-6


@settings(deadline=None, max_examples=15)
@given(SEEDS, K1, st.integers(1, 6))
def test_all_of_the_original_distance_keeps_its_order(seed: int, k1: int, k2: int) -> None:
    query, gallery = made_up(seed)
    found = rerank_distances(query, gallery, RerankSettings(k1=k1, k2=k2, lambda_=1))
    assert torch.equal(found.argsort(dim=1), (query @ gallery.T).argsort(dim=1, descending=True))


@settings(deadline=None, max_examples=15)
@given(SEEDS, SETTINGS)
def test_another_order_of_the_gallery_gives_another_order_of_the_result(seed: int, chosen: RerankSettings) -> None:
    query, gallery = made_up(seed)
    order = torch.randperm(len(gallery), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        rerank_distances(query, gallery[order], chosen), rerank_distances(query, gallery, chosen)[:, order], atol=1e-6, rtol=0
    )


@settings(deadline=None, max_examples=15)
@given(SEEDS, SETTINGS, st.integers(1, 100))
def test_the_size_of_blocks_changes_nothing_even_among_ties(seed: int, chosen: RerankSettings, elements: int) -> None:
    query, gallery = on_a_grid(seed)
    assert torch.equal(rerank_distances(query, gallery, chosen, elements), rerank_distances(query, gallery, chosen))


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.floats(0.1, 10), st.integers(1, 16))
def test_scale_and_place_of_the_features_change_nothing(seed: int, scale: float, k2: int) -> None:
    query, gallery = made_up(seed)
    chosen = RerankSettings(k1=6, k2=k2)
    moved = rerank_distances(scale * query + 1, scale * gallery + 1, chosen)
    torch.testing.assert_close(moved, rerank_distances(query, gallery, chosen), atol=1e-4, rtol=0)


def test_a_copy_of_the_query_is_ahead_of_all() -> None:
    query, gallery = made_up(0, queries=1)
    gallery[7] = query[0]
    assert int(rerank_distances(query, gallery, RerankSettings(k1=5, k2=1))[0].argmin()) == 7


def test_pictures_that_are_all_the_same_have_no_order() -> None:
    found = rerank_distances(torch.ones(2, 3), torch.ones(9, 3), RerankSettings(k1=3, k2=2))
    assert torch.isfinite(found).all()


def test_groups_of_mutual_neighbours_come_together() -> None:
    """The bridge is nearer to the query than the query's own group; nobody of the group is near the bridge, which re-ranking sees."""
    query, group = [0.0, 0.0], [[0.5, 0.05 * i] for i in range(-3, 4)]
    bridge, crowd = [-0.45, 0.0], [[-0.8, 0.02 * i] for i in range(-5, 6)]
    gallery = torch.tensor([*group, bridge, *crowd])
    found = rerank_distances(torch.tensor([query]), gallery, RerankSettings(k1=7, k2=1, lambda_=0.3))[0]
    plain = torch.cdist(torch.tensor([query]), gallery)[0]
    assert int(plain.argmin()) == 7
    assert int(found.argmin()) != 7


def test_a_k1_beyond_the_gallery_is_told() -> None:
    with pytest.raises(UserError, match=r"k1 = 21 needs as many pictures; the gallery has 20"):
        reranked_blocks(*made_up(0), RerankSettings(k1=21))


def test_few_candidates_and_none() -> None:
    query, gallery = made_up(0)
    assert rerank_candidates(query[0], gallery[:0]).shape == (0,)
    assert rerank_candidates(query[0], gallery[:1]).shape == (1,)
    found = rerank_candidates(query[0].numpy(), gallery[:3].numpy(), lambda_=1)
    assert found.argsort().tolist() == (query[0] @ gallery[:3].T).argsort(descending=True).tolist()
