"""The program that asks every row of a table how much of its attention is on clothes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import attention_shares
import pytest

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.open import open_dataset
from reidclip.stages.explain import explain, plan_explain
from tests.cli.error_inputs.kitchen import write_maps
from tests.fakes import tiny_clip, write_prcc


def artifact(store: Store, kind: str, name: str, data: Path, seed: int, checkpoint: Artifact | None = None) -> Artifact:
    with store.create(kind, name) as draft:
        InferenceEncoder(tiny_clip(seed).image_encoder, InferenceOptions()).eval().save(draft.path)
        if kind == "evaluation":
            (draft.path / "metrics.json").write_text("{}")
        inputs = [InputRef.of(checkpoint, "checkpoint")] if checkpoint else []
        draft.describe(config={}, method="baseline", dataset=DatasetRef.of(open_dataset(data)), inputs=inputs)
    return draft.artifact


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["attention_shares.py", *map(str, words)])
    return attention_shares.main()


def test_a_row_is_the_mean_of_its_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_prcc(tmp_path / "data")
    write_maps(data, tmp_path / "maps")
    store = Store(tmp_path / "artifacts")
    checkpoints = [artifact(store, "checkpoint", f"c{seed}", data, seed) for seed in (0, 1)]
    evaluations = [artifact(store, "evaluation", f"e{seed}", data, seed, c) for seed, c in enumerate(checkpoints)]
    plain = artifact(store, "evaluation", "zero-shot", data, 0)
    rows = [
        {"name": "zero-shot", "evaluations": {"0": f"evaluation/{plain.ref}"}},
        {"name": "trained", "evaluations": {str(seed): f"evaluation/{e.ref}" for seed, e in enumerate(evaluations)}},
    ]
    (tmp_path / "table.json").write_text(json.dumps({"rows": rows}))
    words = ("--split", "test-C", "--labels", tmp_path / "maps", "--store", tmp_path / "artifacts")
    assert run(monkeypatch, tmp_path / "table.json", data, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| trained", "| share of the pixels"]  # no checkpoint, no attention
    told = float(lines[2].split(" | ")[1].split()[0])
    jobs = [
        plan_explain(c.ref, [data], store, shares_only=True, split="test-C", labels=str(tmp_path / "maps"), workers=0) for c in checkpoints
    ]
    on_clothes = [explain(job)[0].mass for job in jobs]  # the first region is clothes
    assert told == pytest.approx(100 * sum(float(mass[:, 0].mean()) for mass in on_clothes if mass is not None) / 2, abs=0.051)


def test_a_missing_table_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, tmp_path / "table.json", tmp_path, "--split", "a", "--labels", "b", "--store", tmp_path) == 2
    assert "table.json: No such file" in capsys.readouterr().err
