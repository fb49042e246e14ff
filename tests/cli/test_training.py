"""prompt-learn, finetune and evaluate as a user runs them: whole runs, defaults, interruption, kills and faults."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from reidclip.cli.app import main
from reidclip.data.files import mirrored
from reidclip.data.images import write_indexed_png
from reidclip.data.lip import LIP_PALETTE
from tests.fakes import environment, reidclip_command, write_prcc, write_tiny_clip
from tests.warm import WarmProcess

SMALL = ["height=32", "width=16", "epochs=2"]
BATCHES = ["identities=2", "images_per_identity=2", "pad=2"]


def arguments(settings: list[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a data set, label maps and a tiny CLIP."""
    write_prcc(tmp_path / "prcc")
    write_tiny_clip(tmp_path / "tiny.safetensors")
    return tmp_path


def write_labels(data: Path, folder: Path) -> None:
    """Label maps beside the drawn people: upper-clothes (5) on the trunk."""
    labels = np.zeros((32, 16), np.uint8)
    labels[9:28, 5:11] = 5
    for picture in data.rglob("*.jpg"):
        path = folder / mirrored(picture.relative_to(data).as_posix())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(path, labels, LIP_PALETTE)


def in_a_process(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in ``place``, with the store ``place/artifacts``; it must succeed."""
    process = WarmProcess(reidclip_command(*words), place, environment(place))
    out, err = process.communicate()
    assert process.returncode == 0 and "Traceback" not in err, err
    return subprocess.CompletedProcess(words, 0, out, err)


def reidclip(place: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The same within this process, which saves the seconds that importing torch takes."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(place)
        patch.setenv("REIDCLIP_STORE", str(place / "artifacts"))
        patch.setattr(sys, "argv", ["reidclip", *words])
        with pytest.raises(SystemExit) as end:
            main()
    run = subprocess.CompletedProcess(words, int(end.value.code or 0), out.getvalue(), err.getvalue())
    assert "Traceback" not in run.stderr, run.stderr
    if check:
        assert run.returncode == 0, run.stderr
    return run


def test_the_users_own_lines(place: Path) -> None:
    """mask, prompt-learn, finetune, evaluate, each taking what the one before wrote."""
    clip = ["--clip", "tiny.safetensors"]
    write_labels(place / "prcc", place / "labels")
    in_a_process(place, "mask", "prcc", "--parsing", "labels")
    learned = in_a_process(place, "prompt-learn", *clip, *arguments(SMALL))
    assert "method: ccaf (the default)" in learned.stderr and "masks: labels-prcc@v1" in learned.stderr
    tuned = in_a_process(place, "finetune", *arguments([*SMALL, *BATCHES]))
    assert "clip: tiny.safetensors (of prompts ccaf-prcc@v1)" in tuned.stderr
    assert "prompts: ccaf-prcc@v1" in tuned.stderr and "masks: labels-prcc@v1" in tuned.stderr
    result = json.loads(in_a_process(place, "evaluate", "--protocol", "cloth-changing", "--json").stdout)
    assert set(result["metrics"]) == {"cloth-changing"}
    assert 0 <= result["metrics"]["cloth-changing"]["R1"] <= 1
    lineage = in_a_process(place, "artifacts", "lineage", "evaluation/ccaf-prcc").stdout
    assert all(name in lineage for name in ("ccaf-prcc@v1", "labels-prcc@v1"))
    assert in_a_process(place, "artifacts", "verify").returncode == 0


def test_dry_run_writes_nothing(place: Path) -> None:
    run = reidclip(
        place, "finetune", "prcc", "--method", "baseline", "--clip", "tiny.safetensors", "--dry-run", *arguments([*SMALL, *BATCHES])
    )
    plan = json.loads(run.stdout)
    assert plan["settings"]["epochs"] == 2 and plan["writes"] == "checkpoint/baseline-prcc"
    assert not (place / "artifacts").exists()


def start_training(place: Path) -> WarmProcess:
    long = ["height=32", "width=16", "epochs=4000", *BATCHES]
    line = reidclip_command("finetune", "prcc", "--method", "baseline", "--clip", "tiny.safetensors", *arguments(long))
    return WarmProcess(line, place, environment(place))


def wait_for_state(place: Path, process: WarmProcess) -> Path:
    for _ in range(3000):
        found = list((place / "artifacts" / ".runs").glob("*/stage-0.safetensors"))
        if found:
            return found[0]
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    raise AssertionError("the training wrote no state within five minutes")


def test_ctrl_c_keeps_the_state_and_writes_no_artifact(place: Path) -> None:
    process = start_training(place)
    state = wait_for_state(place, process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Run the same command again to go on." in told and "Traceback" not in told
    assert state.is_file()
    assert json.loads(reidclip(place, "artifacts", "list", "--json").stdout)["artifacts"] == []


def test_kill_leaves_a_readable_store_and_a_state_to_go_on_from(place: Path) -> None:
    process = start_training(place)
    wait_for_state(place, process)
    process.kill()
    process.communicate(timeout=300)
    assert json.loads(reidclip(place, "artifacts", "list", "--json").stdout)["artifacts"] == []
    again = start_training(place)
    told = next((line for line in again.stderr if "going on with the unfinished run" in line), None)  # ends with the process
    again.kill()
    again.communicate(timeout=300)
    assert told is not None


def with_masks(place: Path) -> None:
    write_labels(place / "prcc", place / "labels")
    reidclip(place, "mask", "prcc", "--parsing", "labels")


def test_masks_of_other_data_are_refused(place: Path) -> None:
    with_masks(place)
    next(write_prcc(place / "other").rglob("A_*.jpg")).unlink()
    run = reidclip(place, "prompt-learn", "other", "--masks", "labels-prcc", "--clip", "tiny.safetensors", *arguments(SMALL), check=False)
    assert run.returncode == 2 and "were made from other data" in run.stderr


def test_prompts_of_another_clip_or_method_are_refused(place: Path) -> None:
    write_tiny_clip(place / "second.safetensors", seed=5)
    reidclip(place, "prompt-learn", "prcc", "--method", "clipreid", "--clip", "tiny.safetensors", *arguments(SMALL))
    common = ["finetune", "prcc", "--prompts", "clipreid-prcc", *arguments([*SMALL, *BATCHES])]
    clip = reidclip(place, *common, "--clip", "second.safetensors", check=False)
    assert clip.returncode == 2 and "learned with CLIP 'tiny.safetensors'" in clip.stderr
    with_masks(place)
    method = reidclip(place, *common, "--method", "ccaf", "--clip", "tiny.safetensors", check=False)
    assert method.returncode == 2 and "learned by method 'clipreid', not 'ccaf'" in method.stderr


def test_a_corrupted_prompt_file_is_noticed(place: Path) -> None:
    reidclip(place, "prompt-learn", "prcc", "--method", "clipreid", "--clip", "tiny.safetensors", *arguments(SMALL))
    file = place / "artifacts/prompts/clipreid-prcc/v0001/prompts.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    run = reidclip(place, "finetune", "prcc", "--clip", "tiny.safetensors", *arguments([*SMALL, *BATCHES]), check=False)
    assert run.returncode == 1 and "digest mismatch" in run.stderr
    assert not (place / "artifacts/checkpoint").exists() or not list((place / "artifacts/checkpoint").glob("*/v*"))


def test_a_changed_mask_trains_nothing(place: Path) -> None:
    with_masks(place)
    keep = place / "artifacts/masks/labels-prcc/v0001/keep/rgb/train"
    first, second = sorted(keep.rglob("*.png"))[:2]
    second.write_bytes(first.read_bytes() + b" ")
    run = reidclip(place, "prompt-learn", "prcc", "--clip", "tiny.safetensors", *arguments(SMALL), check=False)
    assert run.returncode == 1 and "digest mismatch" in run.stderr and second.name in run.stderr


def test_ctrl_c_while_the_command_line_is_imported_is_one_line() -> None:
    program = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'reidclip.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from reidclip.cli.entry import main\n"
        "main()\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 130 and run.stderr == "Interrupted.\n"


def test_a_truncated_picture_is_named(place: Path) -> None:
    picture = sorted((place / "prcc/rgb/train").glob("*/*.jpg"))[3]
    picture.write_bytes(picture.read_bytes()[:150])
    run = reidclip(
        place, "finetune", "prcc", "--method", "baseline", "--clip", "tiny.safetensors", *arguments([*SMALL, *BATCHES]), check=False
    )
    assert run.returncode == 1 and picture.name in run.stderr
    assert json.loads(reidclip(place, "artifacts", "list", "--json").stdout)["artifacts"] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["finetune", "prcc", "--method", "basline"], "Did you mean 'baseline'?"),
        (["finetune", "prcc", "--method", "baseline", "--recipe", "tny"], "Did you mean 'tiny'?"),
        (["finetune", "prcc", "--method", "baseline", "--set", "epoch=3"], "Did you mean 'epochs'?"),
        (["finetune", "prcc", "--method", "baseline", "--set", "epochs"], "is not of the form key=value"),
        (["finetune", "prcc", "--method", "baseline"], "Lower it (--set identities=4), or take more data."),
        (["finetune", "prcc"], "No method was named and there are no prompts"),
        (["finetune", "prcc", "--method", "clipreid"], "There are no prompts of method 'clipreid'"),
        (["prompt-learn", "prcc", "--method", "baseline"], "Method 'baseline' has no prompt-learn stage."),
        (["prompt-learn", "prcc"], "There are no masks of"),
        (["prompt-learn"], "No data set was named"),
        (["prompt-learn", "nowhere"], "There is no folder nowhere."),
        (["evaluate", "prcc"], "There is no checkpoint"),
        (["evaluate", "prcc", "--zero-shot", "--protocol", "cloth-change"], "Did you mean 'cloth-changing'?"),
        (["evaluate", "prcc", "--zero-shot", "--clip", "nothing.safetensors"], "No weights at nothing.safetensors."),
        (["finetune", "prcc", "--method", "baseline", "--precision", "fp8"], "There is no precision 'fp8'."),
        (["finetune", "prcc", "--method", "baseline", "--config", "none.toml"], "No settings file at none.toml."),
    ],
)
def test_a_wrong_call_says_what_to_do(place: Path, words: list[str], sentence: str) -> None:
    run = reidclip(place, *words, check=False)
    assert run.returncode == 2 and sentence in run.stderr
    assert not (place / "artifacts").exists()
