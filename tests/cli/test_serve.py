"""`reidclip serve` as a command: what it is told, what it tells, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.in_process import CommandLine
from tests.fakes import reidclip_command
from tests.serve.small_gallery import write_gallery


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gallery(tmp_path_factory.mktemp("served"))[0].root


def test_dry_run(reidclip: CommandLine, store: Path) -> None:
    run = reidclip("serve", "--dry-run", "--store", store, "--port", 0, "--max-upload", 2.5)
    assert run.json["index"] == "gate@v1" and run.json["items"] == 20 and run.json["model"]["ref"] == "tiny@v1"
    assert (run.json["host"], run.json["port"], run.json["token"], run.json["max_upload"]) == (
        "127.0.0.1",
        "one that is free",
        None,
        2_500_000,
    )
    assert "index: gate@v1 (the newest)" in run.err


def test_a_dry_run_keeps_the_token_to_itself(reidclip: CommandLine, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REIDCLIP_SERVE_TOKEN", "0123456789abcdef-secret")
    run = reidclip("serve", "gate", "--dry-run", "--store", store, "--host", "0.0.0.0")
    assert run.json["token"] == "given" and "secret" not in run.out + run.err


def test_a_port_that_is_taken(reidclip: CommandLine, store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = reidclip("serve", "--store", store, "--port", taken.getsockname()[1], code=2)
    assert "Port " in run.err and "is in use" in run.err and "--port 0" in run.err


def test_a_host_that_is_not_of_this_machine(reidclip: CommandLine, store: Path) -> None:
    run = reidclip("serve", "--store", store, "--host", "192.0.2.1", "--token", "auto", code=2)  # an address for documentation
    assert "--host 192.0.2.1 is no address of this machine." in run.err


def test_a_checkpoint_that_is_gone(reidclip: CommandLine, tmp_path: Path) -> None:
    store, _ = write_gallery(tmp_path / "g")
    store.remove(store.open("tiny"), force=True)
    run = reidclip("serve", "--store", store.root, "--port", 0, code=2)
    assert "checkpoint tiny@v1, which is not in" in run.err and "--checkpoint" in run.err


@pytest.fixture
def started(store: Path) -> Iterator[subprocess.Popen[str]]:
    words = reidclip_command("serve", "--store", str(store), "--port", "0", "--token", "auto", "--json", "--device", "cpu")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    yield process
    process.kill()
    process.wait()


def test_it_tells_its_address_answers_and_ends_with_ctrl_c(started: subprocess.Popen[str]) -> None:
    assert started.stdout is not None
    told = json.loads(started.stdout.readline())
    address, _, token = told["address"].partition("#token=")
    assert told["index"] == "gate@v1" and len(token) >= 32
    assert httpx.get(f"{address}api/info").status_code == 401
    held = httpx.Client(base_url=address, headers={"authorization": f"Bearer {token}"})  # keeps its connection open
    assert held.get("/api/info").json()["index"]["ref"] == "gate@v1"
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0, err
    assert out == "" and "Traceback" not in err and "error" not in err.lower()
    assert token not in err and "Ctrl-C ends it." in err
