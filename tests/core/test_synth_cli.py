"""The synth command: options, JSON, dry run, errors."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from reidclip.cli.app import app
from reidclip.cli.synth import Layout
from reidclip.errors import UserError
from reidclip.synth.layouts import LAYOUTS

RUN = CliRunner().invoke


def test_every_layout_can_be_asked_for() -> None:
    assert {layout.value for layout in Layout} == set(LAYOUTS)


def test_renders_and_reports_json(tmp_path: Path) -> None:
    out = tmp_path / "set"
    call = [
        "synth",
        str(out),
        "--layout",
        "pairs",
        "--ids",
        "1",
        "--images-per-camera",
        "2",
        "--size",
        "64x32",
        "--workers",
        "1",
        "-q",
        "--json",
    ]
    result = RUN(app, call)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["pictures"] == 2
    assert len(list((out / "images").glob("*.jpg"))) == 2


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), "--dry-run"])
    assert json.loads(result.stdout)["test_ids"] == 20
    assert not (tmp_path / "set").exists()


def test_size_must_be_two_numbers(tmp_path: Path) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), "--size", "big"])
    assert isinstance(result.exception, UserError)
    assert "256x128" in result.exception.what
