"""The synth command: options, JSON, dry run, errors."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reidclip.cli import synth as command
from reidclip.cli.app import app
from reidclip.errors import UserError
from reidclip.synth.layouts import LAYOUTS

RUN = CliRunner().invoke


def test_every_layout_can_be_asked_for() -> None:
    assert set(command.LAYOUTS) == set(LAYOUTS)
    shown = RUN(app, ["synth", "--help"]).output
    assert all(f"{name}:" in shown for name in LAYOUTS)


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


def test_dry_run_counts_the_pictures(tmp_path: Path) -> None:
    call = ["synth", str(tmp_path / "set"), "--layout", "market1501", "--ids", "2", "--images-per-camera", "1", "--size", "32x16", "-q"]
    planned = json.loads(RUN(app, [*call, "--dry-run"]).stdout)
    assert RUN(app, [*call, "--workers", "1"]).exit_code == 0
    folders = [p for p in (tmp_path / "set").iterdir() if p.is_dir() and p.name != "parsing"]
    assert planned["pictures"] == sum(1 for folder in folders for _ in folder.iterdir())
    assert (planned["cameras"], planned["distractors"], planned["junk"]) == (6, 3, 3)


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), "--dry-run"])
    assert json.loads(result.stdout)["test_ids"] == 20
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("wrong", "meant"), [("ltc", "ltcc"), ("vc-clothes", "vcclothes"), ("Market-1501", "market1501"), ("market", "market1501")]
)
def test_unknown_layout_names_the_nearest(tmp_path: Path, wrong: str, meant: str) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), "--layout", wrong])
    assert isinstance(result.exception, UserError)
    assert f"'{wrong}'" in result.exception.what
    assert f"Did you mean '{meant}'?" in result.exception.remedy
    assert not (tmp_path / "set").exists()


def test_size_must_be_two_numbers(tmp_path: Path) -> None:
    result = RUN(app, ["synth", str(tmp_path / "set"), "--size", "big"])
    assert isinstance(result.exception, UserError)
    assert "256x128" in result.exception.what


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
def test_killed_rendering_leaves_no_process_behind(tmp_path: Path) -> None:
    """What stops a service or a job, SIGTERM or SIGKILL, gives the parent no time to end its workers."""
    call = [sys.executable, "-m", "reidclip", "synth", str(tmp_path / "set"), "--ids", "400", "--workers", "2", "-q"]
    parent = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers: set[int] = set()
    deadline = time.monotonic() + 120  # a busy machine takes its time to begin
    while not list((tmp_path / "set").glob("rgb/train/*/*.jpg")) and time.monotonic() < deadline:  # then both are at work
        workers |= children(parent.pid)
        time.sleep(0.1)
    workers |= children(parent.pid)
    parent.kill()
    parent.wait()
    assert len(workers) >= 2
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/cmdline").is_file() and b"spawn" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return {int(child) for child in listed.read_text().split()} if listed.is_file() else set()
