"""Query expansion against values computed by hand, and what must hold for it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.errors import UserError
from reidclip.evaluation.expansion import expand_queries, expanded
from reidclip.evaluation.settings import ExpansionSettings

QUERY = torch.tensor([[1.0, 0.0]])
NEAR = torch.tensor([[0.8, 0.6], [0.6, -0.8]])  # cosines 0.8 and 0.6


def test_all_alike() -> None:
    found = expanded(QUERY, NEAR[None], alpha=0)
    np.testing.assert_allclose(found, [np.array([2.4, -0.2]) / np.hypot(2.4, 0.2)], rtol=1e-6)


def test_by_cosine_to_a_power() -> None:
    total = np.array([1 + 0.64 * 0.8 + 0.36 * 0.6, 0.64 * 0.6 - 0.36 * 0.8])
    np.testing.assert_allclose(expanded(QUERY, NEAR[None], alpha=2), [total / np.hypot(*total)], rtol=1e-6)


def test_of_distances_the_mean_keeps_its_length() -> None:
    found = expanded(2 * QUERY, 2 * NEAR[None], alpha=1, measure="distance")
    np.testing.assert_allclose(found, [np.array([2 + 0.8 * 1.6 + 0.6 * 1.2, 0.8 * 1.2 - 0.6 * 1.6]) / 2.4], rtol=1e-6)


def test_pictures_that_point_away_and_missing_ones_count_nothing() -> None:
    others = torch.tensor([[-0.8, 0.6], [torch.nan, torch.nan]])
    np.testing.assert_allclose(expanded(QUERY, others[None], alpha=3), QUERY, atol=1e-7)
    alike = expanded(QUERY, torch.cat([NEAR, others[1:]])[None], alpha=0)
    np.testing.assert_allclose(alike, expanded(QUERY, NEAR[None], alpha=0), rtol=1e-6)


def unit(rows: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 2), st.integers(1, 8), st.integers(1, 40))
def test_neighbours_are_the_nearest_of_the_gallery_in_blocks_of_any_size(seed: int, count: int, elements: int) -> None:
    query, gallery = unit(5, seed), unit(9, seed + 1)
    nearest = (query @ gallery.T).argsort(dim=1, descending=True)[:, :count]
    found, same = expand_queries(query, gallery, ExpansionSettings(count=count), block_elements=elements)
    torch.testing.assert_close(found, expanded(query, gallery[nearest]), atol=1e-6, rtol=0)
    assert torch.equal(same, gallery)


def test_the_gallery_is_averaged_with_its_own_neighbours_but_itself() -> None:
    query, gallery = unit(3, 0), unit(9, 1)
    closeness = (gallery @ gallery.T).fill_diagonal_(-2)
    wanted = expanded(gallery, gallery[closeness.argsort(dim=1, descending=True)[:, :2]])
    found, averaged = expand_queries(query, gallery, ExpansionSettings(count=2, gallery=True), block_elements=20)
    torch.testing.assert_close(averaged, wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(found, expand_queries(query, wanted, ExpansionSettings(count=2))[0], atol=1e-6, rtol=0)


def test_none_leaves_all_as_it_is() -> None:
    query, gallery = unit(3, 0), unit(9, 1)
    assert expand_queries(query, gallery, ExpansionSettings()) == (query, gallery)


@pytest.mark.parametrize("chosen", [ExpansionSettings(count=10), ExpansionSettings(count=9, gallery=True)])
def test_more_neighbours_than_pictures_are_told(chosen: ExpansionSettings) -> None:
    with pytest.raises(UserError, match=r"the gallery has 9"):
        expand_queries(unit(3, 0), unit(9, 1), chosen)
