"""The benchmark's comparison of two programs: neither has more tries than the other."""

from __future__ import annotations

import pytest

from tests.bench import rerank


def test_each_program_runs_as_often_and_its_better_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    seconds = iter([5.0, 7.0, 4.0, 8.0])

    def timed(run: object) -> float:
        assert callable(run)
        run()
        return next(seconds)

    monkeypatch.setattr(rerank, "processor_seconds", timed)
    best = rerank.in_turn({"ours": lambda: ran.append("ours"), "bare": lambda: ran.append("bare")})
    assert ran == ["ours", "bare", "ours", "bare"]
    assert best == {"ours": 4.0, "bare": 7.0}
