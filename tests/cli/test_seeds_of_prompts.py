"""Which checkpoints --seeds takes together, by the prompts that they were made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.artifacts.store import Artifact
from tests.cli.in_process import CommandLine
from tests.cli.test_evaluate_several import Place


@pytest.fixture
def place(tmp_path: Path, reidclip: CommandLine) -> Place:
    return Place(tmp_path, reidclip)


def planned(place: Place, chosen: Artifact, code: int = 0) -> list[str]:
    """References of the checkpoints of seeds 0 and 1."""
    run = place.run(place.first, "--checkpoint", chosen.ref, "--seeds", "0,1", "--dry-run", code=code)
    if code:
        assert f"is like {chosen.ref} but of seed 1." in run.err
        return []
    return list(run.json["checkpoints"])


def test_prompts_of_other_settings_are_other_prompts(place: Place) -> None:
    data = place.ref(place.first)
    chosen = place.checkpoint(data, place.prompts(data, tokens=4), seed=0)
    place.checkpoint(data, place.prompts(data, seed=1, tokens=8), seed=1)
    planned(place, chosen, code=2)
    place.checkpoint(data, seed=1)  # from none at all
    planned(place, chosen, code=2)
    alike = place.checkpoint(data, place.prompts(data, seed=1, tokens=4), seed=1)
    place.checkpoint(data, place.prompts(data, seed=1, tokens=8), seed=1)
    assert planned(place, chosen) == [chosen.ref, alike.ref]


def test_prompts_that_are_gone_are_not_like_others_that_are_gone(place: Place) -> None:
    data = place.ref(place.first)
    prompts = [place.prompts(data, seed, tokens=tokens) for seed, tokens in ((0, 4), (1, 8))]
    chosen = place.checkpoint(data, prompts[0], seed=0)
    place.checkpoint(data, prompts[1], seed=1)
    for each in prompts:
        place.store.remove(each, force=True)
    planned(place, chosen, code=2)


def test_but_like_themselves(place: Place) -> None:
    data = place.ref(place.first)
    prompts = place.prompts(data)
    made = [place.checkpoint(data, prompts, seed=seed) for seed in (0, 1)]
    place.store.remove(prompts, force=True)
    assert planned(place, made[0]) == [artifact.ref for artifact in made]
