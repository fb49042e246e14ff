"""A run that is killed at any moment and started again ends in the same bits as one that nobody disturbed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from safetensors import SafetensorError, safe_open

from reidclip.clip.load import save_clip
from tests.fakes import REPOSITORY, environment, reidclip_command, write_prcc, write_tiny_clip
from tests.tiny_clip import TINY_RESNET, tiny_clip
from tests.warm import WarmProcess

EPOCHS, STEPS = 6, 4  # steps of an epoch: 24 pictures of 4 identities, three identities of two in a batch
SEED = int.from_bytes(os.urandom(2), "big")


@dataclass(frozen=True)
class Kind:
    """What is trained: a method on a tower, with what it reads lying in a store of its own."""

    method: str
    tower: str
    size: tuple[int, int]


KINDS = {
    "vit": Kind("baseline", "tiny.safetensors", (32, 16)),
    "resnet": Kind("baseline", "resnet.safetensors", (64, 32)),  # BatchNorm's statistics, weights that lie channels-last
    "ccaf": Kind("ccaf", "tiny.safetensors", (32, 16)),  # two encoders that take turns, prompts, masks
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write_prcc(folder / "data", folder / "keep")
    write_tiny_clip(folder / "tiny.safetensors")
    clip = tiny_clip(TINY_RESNET, image_size=(64, 32))
    towers = clip.image_encoder, clip.text_encoder, clip.logit_scale
    save_clip(folder / "resnet.safetensors", *towers, TINY_RESNET, mean=clip.mean, std=clip.std)
    (folder / "keep.toml").write_text('labels = ["Clothes", "Kept"]\nclothes = ["Clothes"]\n')
    end(begin(folder, "inputs", "mask", "data", "--parsing", "keep", "--label-set", "keep.toml"))
    end(
        begin(
            folder,
            "inputs",
            "prompt-learn",
            "data",
            "--method",
            "ccaf",
            "--clip",
            "tiny.safetensors",
            *sets("epochs=1", "height=32", "width=16"),
        )
    )
    return folder


def sets(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def begin(place: Path, store: str, command: str, *words: str, warm: bool = True) -> WarmProcess | subprocess.Popen[str]:
    line, env = reidclip_command(command, *words, "--store", store), environment(place / "home", REPOSITORY)
    return WarmProcess(line, place, env) if warm else subprocess.Popen(line, cwd=place, env=env, stderr=subprocess.PIPE, text=True)


def start(place: Path, kind: str, name: str, warm: bool = True) -> WarmProcess | subprocess.Popen[str]:
    """A training in the store KIND-NAME, which is new or goes on."""
    what, store = KINDS[kind], f"{kind}-{name}"
    if what.method == "ccaf" and not (place / store).exists():
        shutil.copytree(place / "inputs", place / store)
    height, width = what.size
    values = sets(f"epochs={EPOCHS}", "lr=1e-3", f"height={height}", f"width={width}", "identities=3", "images_per_identity=2")
    return begin(place, store, "finetune", "data", "--method", what.method, "--clip", what.tower, "--save-every", "0", *values, warm=warm)


def end(process: WarmProcess | subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=600)
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
def undisturbed(place: Path) -> Callable[[str], str]:
    """Digest of the weights of a run that nobody disturbed, by kind."""

    @cache
    def of(kind: str) -> str:
        end(start(place, kind, "undisturbed", warm=False))
        return digest(place / f"{kind}-undisturbed")

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_killed_three_times_it_ends_in_the_same_bits(kind: str, place: Path, undisturbed: Callable[[str], str]) -> None:
    draw = random.Random(SEED)
    for turn in range(20):
        points, name = sorted(draw.sample(range(1, EPOCHS * STEPS - 4), 3)), f"killed-{turn}"
        if all(killed_at(point, kind, name, place) for point in points):
            break
    else:
        pytest.fail(f"it always ended before it could be killed (seed {SEED})")
    end(start(place, kind, name))
    assert digest(place / f"{kind}-{name}") == undisturbed(kind), f"killed at {points} (seed {SEED})"


def killed_at(point: int, kind: str, name: str, place: Path) -> bool:
    """Kill a training once so many steps are kept; False where a busy machine lets it end before that is seen."""
    store = place / f"{kind}-{name}"
    process = start(place, kind, name)
    while steps_kept(store) < point and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if process.returncode == 0:
        return False
    assert process.returncode == -signal.SIGKILL
    assert not list(store.rglob("encoder.safetensors")), "a killed run left an artifact"
    return True


def test_a_damaged_state_gives_way_to_the_one_before(place: Path, undisturbed: Callable[[str], str]) -> None:
    store = place / "vit-damaged"
    process = start(place, "vit", "damaged")
    while steps_kept(store) < 6 and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    [newest] = store.rglob("stage-0.safetensors")
    assert newest.with_name(newest.name + ".previous").is_file()
    newest.write_bytes(newest.read_bytes()[:-100])
    end(start(place, "vit", "damaged"))
    assert digest(store) == undisturbed("vit")
