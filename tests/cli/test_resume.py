"""A run that is killed at any moment and started again ends in the same bits as one that nobody disturbed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError, safe_open

from tests.fakes import REPOSITORY, environment, reidclip_command, write_prcc, write_tiny_clip

EPOCHS, STEPS = 6, 4  # steps of an epoch: 24 pictures of 4 identities, three identities of two in a batch
SEED = int.from_bytes(os.urandom(2), "big")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write_prcc(folder / "data")
    write_tiny_clip(folder / "tiny.safetensors")
    return folder


def start(place: Path, store: str) -> subprocess.Popen[str]:
    sets = [f"epochs={EPOCHS}", "lr=1e-3", "height=32", "width=16", "identities=3", "images_per_identity=2"]
    line = reidclip_command("finetune", "data", "--method", "baseline", "--clip", "tiny.safetensors", "--store", store, "--save-every", "0")
    line += [word for value in sets for word in ("--set", value)]
    return subprocess.Popen(line, cwd=place, env=environment(place / "home", REPOSITORY), stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def steps_kept(store: Path) -> int:
    """Steps that the newest training state has behind it."""
    for state in store.rglob("stage-0.safetensors"):
        try:
            with safe_open(state, framework="np") as file:
                position = json.loads(file.metadata()["position"])
            return int(position["epoch"] * STEPS + position["batch"])
        except (OSError, SafetensorError):
            return 0  # between two renames
    return 0


def digest(store: Path) -> str:
    [encoder] = store.rglob("encoder.safetensors")
    return hashlib.sha256(encoder.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> str:
    end(start(place, "undisturbed"))
    return digest(place / "undisturbed")


def test_killed_three_times_it_ends_in_the_same_bits(place: Path, undisturbed: str) -> None:
    points = sorted(random.Random(SEED).sample(range(1, EPOCHS * STEPS - 4), 3))
    store = place / "killed"
    for point in points:
        process = start(place, "killed")
        while steps_kept(store) < point and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL, f"ended before it could be killed (points {points}, seed {SEED})"
        assert process.stderr is not None
        process.stderr.close()
        assert not list(store.rglob("encoder.safetensors")), "a killed run left an artifact"
    end(start(place, "killed"))
    assert digest(store) == undisturbed, f"killed at {points} (seed {SEED})"


def test_a_damaged_state_gives_way_to_the_one_before(place: Path, undisturbed: str) -> None:
    store = place / "damaged"
    process = start(place, "damaged")
    while steps_kept(store) < 6 and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    [newest] = store.rglob("stage-0.safetensors")
    assert newest.with_name(newest.name + ".previous").is_file()
    newest.write_bytes(newest.read_bytes()[:-100])
    end(start(place, "damaged"))
    assert digest(store) == undisturbed
