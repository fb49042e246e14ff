"""Several processes train as one: the same loss at every step, the same weights at the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from reidclip import registry
from reidclip.data.open import open_dataset
from reidclip.data.samplers import part_of_batch
from reidclip.errors import UserError
from reidclip.evaluation.protocols import required_samples
from reidclip.parallel.processes import joined
from tests.fakes import REPOSITORY, environment, reidclip_command, write_prcc, write_tiny_clip
from tests.warm import WarmProcess

STEPS = 50
CASES = [(name, command) for name in registry.names("reidclip.methods") for command in registry.get("reidclip.methods", name).stages]


Process = subprocess.Popen[str] | WarmProcess


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes(command: list[str], count: int, home: Path, warm: bool = False, **extra: str) -> list[Process]:
    """``count`` processes with the variables that torchrun sets. Of several the first is a cold one, so that two do not share a seed of
    hashes; not where they are all to be ``warm``."""
    port = str(free_port())
    started: list[Process] = []
    for number in range(count):
        meeting = {
            "RANK": str(number),
            "LOCAL_RANK": str(number),
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        env = environment(home, REPOSITORY, **(meeting if count > 1 else {}), **extra)
        if number == 0 and count > 1 and not warm:
            started.append(subprocess.Popen(command, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        else:
            started.append(WarmProcess(command, home, env))
    return started


def finish(started: list[Process], timeout: float = 600) -> list[tuple[int, str, str]]:
    try:
        ended = [(p.communicate(timeout=timeout), p.returncode) for p in started]
    finally:
        for p in started:
            p.kill()
    return [(code, out, err) for (out, err), code in ended]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    write_prcc(folder / "data", folder / "keep")
    return folder


Run = tuple[list[list[float]], dict[str, torch.Tensor]]
WARM_UP = {"identities": 3, "images_per_identity": 2, "pad": 2, "lr": 1e-3}
LONG: dict[str, Any] = {"epochs": 25, "lr": 1e-3, "warm_epochs": 15, "warm_up": WARM_UP, "domain_epochs": 20}
RESNET: dict[str, Any] = {"method": "baseline", "command": "finetune", "settings": {**LONG, "height": 64, "width": 32}, "tower": "resnet"}
TOGETHER = {
    **{f"{name}-{command}": {"method": name, "command": command, "settings": LONG} for name, command in CASES},
    # Its domain classifier has a BatchNorm, too: see below.
    "fgdi-prompt-learn": {"method": "fgdi", "command": "prompt-learn", "settings": LONG, "double": True},
    # Theirs have one too (BNNeck, shape head): a slow rate, as for the ResNet below.
    **{f"{name}-distill": {"method": name, "command": "distill", "settings": {**LONG, "lr": 1e-4}} for name in ("clip3dreid", "rkd")},
    "lone": {"method": "clipreid", "command": "prompt-learn", "settings": {**LONG, "batch_size": 23}},
    # BatchNorm over six pictures enlarges rounding: at the others' rate it doubles every few steps, and of this network one process with
    # channels-last weights leaves one with contiguous weights as soon as it leaves two processes. So float32 is compared over 50 slow
    # steps ...
    "resnet": {**RESNET, "settings": {**RESNET["settings"], "epochs": 15, "lr": 1e-4}},
    # ... and float64 at the others' rate, where only a wrong formula could differ.
    "resnet-double": {**RESNET, "double": True},
}
IN_PIECES = {"pieces": {"method": "ccaf", "command": "finetune", "settings": LONG, "accumulate": 3}}


def train(tree: Path, out: Path, count: int, cases: dict[str, Any]) -> dict[str, Run]:
    """Every case trained by ``count`` processes: loss curves, one per stage, and the weights at the end."""
    out.mkdir()
    line = [sys.executable, "-m", "tests.parallel_worker", str(tree / "data"), str(tree / "keep"), str(out), json.dumps(cases)]
    for code, _, err in finish(processes(line, count, out), timeout=600):  # all cases, on a machine that may be busy
        assert code == 0, err
    for name in cases:
        curves = [json.loads((out / f"{name}-{number}.json").read_text()) for number in range(count)]
        assert all(curve == curves[0] for curve in curves), "the processes did not see the same losses"
    return {name: (json.loads((out / f"{name}-0.json").read_text()), load_file(out / f"{name}-0.safetensors")) for name in cases}


@pytest.fixture(scope="module")
def alone(tree: Path) -> dict[str, Run]:
    return train(tree, tree / "alone", 1, {**TOGETHER, **IN_PIECES})


@pytest.fixture(scope="module")
def together(tree: Path) -> dict[str, Run]:
    return train(tree, tree / "together", 2, TOGETHER)


def assert_alike(one: Run, two: Run, within: float = 1e-4) -> None:
    for single, double in zip(one[0], two[0], strict=True):
        assert len(single) >= STEPS
        assert abs(single[0] - single[-1]) > 1e-2, "nothing was learned: the comparison would prove nothing"
        assert single == pytest.approx(double, abs=within)
    assert one[1].keys() == two[1].keys()


@pytest.mark.parametrize("case", list(TOGETHER))
def test_two_processes_train_as_one(alone: dict[str, Run], together: dict[str, Run], case: str) -> None:
    """Prompt batches hold 10, 10 and 4 pictures here, fine-tuning batches three identities of two: a share cuts an identity in half.
    In "lone" the last batch is one picture, and the second process has none of it."""
    assert_alike(alone[case], together[case], 1e-9 if TOGETHER[case].get("double") else 1e-4)


def test_batch_norm_remembers_all_rows(alone: dict[str, Run], together: dict[str, Run]) -> None:
    one, two = alone["resnet"][1], together["resnet"][1]
    running = [key for key in one if key.endswith("running_var") and ".encoder." in key]
    assert running
    for key in running:
        torch.testing.assert_close(one[key], two[key], atol=1e-4, rtol=1e-3)


def test_a_batch_in_pieces_is_the_batch(alone: dict[str, Run]) -> None:
    assert_alike(alone["ccaf-finetune"], alone["pieces"])


@pytest.mark.parametrize("rows", [1, 2, 5, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_parts_cover_a_batch_in_order(rows: int, count: int) -> None:
    parts = [list(range(rows))[part_of_batch(rows, number, count)] for number in range(count)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1 and parts == sorted(parts, key=len, reverse=True)


# ------------------------------------------------------------------------------------------------------------ the command line
def finetune_line(tree: Path, home: Path, *more: str) -> list[str]:
    small = ["epochs=2", "lr=1e-3", "height=32", "width=16", "identities=3", "images_per_identity=2"]
    sets = [word for value in small for word in ("--set", value)]
    weights = write_tiny_clip(home / "tiny.safetensors")
    return reidclip_command("finetune", str(tree / "data"), "--method", "baseline", "--clip", str(weights), *sets, *more)


def test_torchrun_finetunes_and_one_process_writes(tree: Path, tmp_path: Path) -> None:
    for home in ("one", "two"):
        (tmp_path / home).mkdir()
    [(code, alone, err)] = finish(processes(finetune_line(tree, tmp_path / "one"), 1, tmp_path / "one"))
    assert code == 0, err
    env = environment(tmp_path / "two", REPOSITORY)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()), "-m"]
    line = [*torchrun, *finetune_line(tree, tmp_path / "two")[2:]]
    run = subprocess.run(line, env=env, cwd=tmp_path / "two", capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("wrote checkpoint/") == alone.count("wrote checkpoint/") == 1
    one, two = (load_file(next((tmp_path / home / "artifacts").rglob("encoder.safetensors"))) for home in ("one", "two"))
    assert len(list((tmp_path / "two" / "artifacts").rglob("encoder.safetensors"))) == 1
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=2e-3, rtol=1e-2)


def test_a_process_that_dies_ends_the_others_with_a_sentence(tree: Path, tmp_path: Path) -> None:
    both = processes(finetune_line(tree, tmp_path, "--set", "epochs=10000"), 2, tmp_path, warm=True)
    assert both[1].stderr is not None and both[0].stderr is not None
    for line in both[0].stderr:  # until steps are being done
        if "steps" in line:
            break
    both[1].kill()
    _, err = both[0].communicate(timeout=300)
    assert both[0].returncode == 1
    assert "Another process of this run ended" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"WORLD_SIZE": "2"}, "RANK and MASTER_ADDR and MASTER_PORT are not set"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many'"),
    ],
)
def test_variables_without_torchrun_are_explained(tree: Path, tmp_path: Path, variables: dict[str, str], sentence: str) -> None:
    env = {**environment(tmp_path, REPOSITORY), **variables}
    run = subprocess.run(finetune_line(tree, tmp_path), env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 2 and sentence in run.stderr and "torchrun" in run.stderr and "Traceback" not in run.stderr
    assert not os.path.exists(tmp_path / "artifacts" / "checkpoint")


def test_processes_share_an_evaluation(tree: Path, tmp_path: Path) -> None:
    weights = write_tiny_clip(tmp_path / "tiny.safetensors")
    line = ["evaluate", str(tree / "data"), "--zero-shot", "--clip", str(weights), "--json"]
    [(code, alone, err)] = finish(processes(reidclip_command(*line, "--store", "one"), 1, tmp_path))
    assert code == 0, err
    ended = finish(processes(reidclip_command(*line, "--store", "two"), 2, tmp_path))
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert ended[1][1] == "", "the second process spoke"
    one, two = json.loads(alone)["metrics"], json.loads(ended[0][1])["metrics"]
    assert one == two
    assert progress_told(ended[0][2]) == progress_told(err) != [], "progress is that of all processes"


def progress_told(err: str) -> list[str]:
    return re.findall(r"^features: (\d+/\d+) images", err, re.MULTILINE)


def test_commands_that_run_in_one_process_say_so(tmp_path: Path) -> None:
    both = finish(processes(reidclip_command("synth", "data"), 2, tmp_path, warm=True))
    assert all(code == 2 and "`synth` runs in one process" in err for code, _, err in both) and not (tmp_path / "data").exists()


def test_an_error_of_one_process_is_told_by_it(tree: Path, tmp_path: Path) -> None:
    """A picture that the second process alone reads is broken; the first still hears it while it waits with its message."""
    shutil.copytree(tree / "data", tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    sample = required_samples(dataset, dataset.protocols)[-1]
    dataset.absolute(sample).write_bytes(b"no picture")
    weights = write_tiny_clip(tmp_path / "tiny.safetensors")
    line = reidclip_command("evaluate", "data", "--zero-shot", "--clip", str(weights), "--workers", "0")
    (_, _, first), (code, out, second) = finish(processes(line, 2, tmp_path, warm=True))
    assert "error: Another process of this run ended" in first and sample.path not in first
    assert (code, out) == (1, "") and second.startswith("error: process 1 (the first is 0): ") and sample.path in second


@pytest.mark.parametrize("port", ["free", "99999", "seven"])
def test_a_first_process_that_does_not_listen_is_named(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = str(free_port()) if port == "free" else port
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("reidclip.parallel.processes.MEET_SECONDS", 0.2)
    with pytest.raises(UserError, match=f"does not listen at 127.0.0.1:{port}") as caught, joined(torch.device("cpu")):
        pass
    assert "torchrun" in caught.value.remedy
