"""`reidclip serve` as a command: what it is told, what it tells, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import threading
import webbrowser
from pathlib import Path

import httpx
import pytest

from tests.cli.in_process import CommandLine
from tests.serve.small_gallery import encoder, write_gallery


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


def test_it_tells_its_address_answers_and_ends_with_ctrl_c(reidclip: CommandLine, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def visit(address: str) -> None:
        page, _, token = address.partition("#token=")
        try:
            seen["without"] = httpx.get(f"{page}api/info").status_code
            held = httpx.Client(base_url=page, headers={"authorization": f"Bearer {token}"})  # keeps its connection open
            seen["with"] = held.get("/api/info").json()["index"]["ref"]
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(webbrowser, "open", lambda address: threading.Thread(target=visit, args=(address,)).start())
    before = signal.getsignal(signal.SIGINT)
    run = reidclip("serve", "--store", store, "--port", 0, "--token", "auto", "--json", "--open", "--device", "cpu", code=0)
    token = run.json["address"].partition("#token=")[2]
    assert run.json["index"] == "gate@v1" and len(token) >= 32
    assert seen == {"without": 401, "with": "gate@v1"}
    assert token not in run.err and "Ctrl-C ends it." in run.err and "Interrupted" not in run.err
    assert signal.getsignal(signal.SIGINT) is before


def test_an_index_that_was_damaged(reidclip: CommandLine, tmp_path: Path) -> None:
    store, index = write_gallery(tmp_path / "g")
    file = max((index.path / "backend").iterdir(), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    run = reidclip("serve", "--store", store.root, "--port", 0, code=1)
    assert file.name in run.err and "digest mismatch" in run.err and "make it again" in run.err


def test_another_model_under_the_same_name(reidclip: CommandLine, tmp_path: Path) -> None:
    store, _ = write_gallery(tmp_path / "g")
    other = encoder(seed=1)
    with store.create("checkpoint", "other") as draft:
        other.save(draft.path)
    run = reidclip("serve", "--store", store.root, "--port", 0, "--checkpoint", "other", code=2)
    assert "other weights" in run.err and "index gate@v1" in run.err
