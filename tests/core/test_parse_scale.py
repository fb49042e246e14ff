"""Parsing of many pictures: killed and gone on with, shared by processes, written by threads; the maps are the same to the last byte."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidclip.artifacts.store import Artifact, Store
from reidclip.data.open import open_pictures
from reidclip.errors import WorkError
from reidclip.settings import Settings
from reidclip.stages import finished_maps
from reidclip.stages.parse import parse
from reidclip.stages.pictures import in_batches
from reidclip.synth.files import ATTRIBUTES
from tests.cli.red_pictures import RedReader, labels_of, visible, write_red
from tests.core.test_parallel import finish, processes
from tests.fakes import REPOSITORY, environment, hear_interrupts, reidclip_command
from tests.plugins.schp_fixtures import tiny_weights
from tests.trees import write_picture

PICTURES, BATCH = 322, 4
SEED = int.from_bytes(os.urandom(2), "big")


class Fours(Settings):
    batch_size: int = BATCH


# --------------------------------------------------------------------------------------------------------- whole processes
@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small pictures of several sizes, and a small parser."""
    folder = tmp_path_factory.mktemp("scale")
    for index in range(PICTURES):
        write_picture(folder / f"people/{index % 7}/{index:03d}.png", index, 24 + index % 3 * 8, 16)
    (folder / "people/3/broken.png").write_bytes(b"no picture")
    tiny_weights(folder).rename(folder / "small.safetensors")
    return folder


def line(store: str, *more: str) -> list[str]:
    return reidclip_command("parse", "people", "--store", store, "--on-error", "skip", "--set", f"batch_size={BATCH}", "--json", *more)


def small(store: str) -> list[str]:
    return line(store, "--weights", "small.safetensors")


def told(ended: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = ended
    assert code == 0 and "Traceback" not in err, err
    found: dict[str, Any] = json.loads(out)
    return found


def content(told: dict[str, Any], place: Path) -> dict[str, bytes]:
    root = place / told["path"]
    files = (file for file in root.rglob("*") if file.is_file() and file.name not in ("manifest.json", "files.json"))
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def metrics_of(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told["metrics"].items() if key not in ("resumed", "pictures_per_second")}


def notes_kept(store: Path) -> int:
    return sum(journal.read_bytes().count(b"\n") for journal in store.rglob("finished-*.log"))


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> dict[str, Any]:
    found = told(finish(processes(small("undisturbed"), 1, place))[0])
    assert found["metrics"]["pictures"] == PICTURES and found["metrics"]["skipped"] == 1
    assert len([name for name in content(found, place) if name.endswith(".png")]) == PICTURES
    assert len([share for share in found["metrics"]["label_share"].values() if share]) > 3
    return found


def killed_at(point: int, store: str, place: Path) -> bool:
    """Kill a parsing once so many maps are noted; False where a busy machine lets it end before that is seen."""
    [process] = processes(small(store), 1, place)
    while notes_kept(place / store) < point and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    finish([process])
    if process.returncode == 0:
        return False
    assert process.returncode == -signal.SIGKILL
    assert visible(Store(place / store)) == []
    return True


def test_killed_twice_it_goes_on_to_the_same_bytes(place: Path, undisturbed: dict[str, Any]) -> None:
    draw = random.Random(SEED)
    for turn in range(20):
        points, name = sorted(draw.sample(range(1, PICTURES - 60), 2)), f"killed-{turn}"
        if all(killed_at(point, name, place) for point in points):
            break
    else:
        pytest.fail(f"it always ended before it could be killed (seed {SEED})")
    done = told(finish(processes(small(name), 1, place))[0])
    assert content(done, place).items() == content(undisturbed, place).items(), f"killed at {points} (seed {SEED})"
    assert metrics_of(done) == metrics_of(undisturbed) and done["notes"] == undisturbed["notes"]
    assert points[-1] - 2 * BATCH <= done["metrics"]["resumed"] < PICTURES


def test_two_processes_make_the_same_bytes(place: Path, undisturbed: dict[str, Any]) -> None:
    first, second = finish(processes(small("two"), 2, place))
    assert second[0] == 0 and second[1] == "", "the second process spoke"
    done = told(first)
    assert f"parse: {PICTURES + 1}/{PICTURES + 1} images" in first[2], "progress is that of all processes"
    assert content(done, place) == content(undisturbed, place)
    assert metrics_of(done) == metrics_of(undisturbed) and done["notes"] == undisturbed["notes"]
    assert visible(Store(place / "two")) == ["parsing/schp-tiny-people@v1"]


def test_a_process_that_dies_ends_the_others_and_one_goes_on(place: Path) -> None:
    """With the bundled network, which takes a while; the next run takes up what both did."""
    store = place / "died"
    both = processes(line("died"), 2, place, warm=True)
    while not any(j.stat().st_size for j in store.rglob("finished-1.log")) and both[1].poll() is None:
        time.sleep(0.002)
    both[1].kill()
    (code, out, err), _ = finish(both)
    assert code == 1 and out == ""
    assert "Another process of this run ended" in err and "Traceback" not in err
    kept, maps = (
        notes_kept(store),
        len(list(store.rglob("labels/**/*.png"))),
    )  # a kill may fall between a map and its note: such maps are read
    done = told(finish(processes(line("died", "--set", "precision=fp32"), 1, place))[0])
    assert kept - 4 * BATCH <= done["metrics"]["resumed"] <= maps <= kept + 4 * BATCH and done["metrics"]["pictures"] == PICTURES


# -------------------------------------------------------------------------------------------------------------- one process
@pytest.fixture
def people(tmp_path: Path) -> Path:
    for index in range(11):
        write_red(tmp_path / f"people/{index:02d}.png", labels_of(index), index)
    return tmp_path / "people"


def interrupted(people: Path, tmp_path: Path, after: int = 8) -> Store:
    store = Store(tmp_path / "artifacts")
    with pytest.raises(KeyboardInterrupt):
        run(people, store, RedReader(stop_after=after))
    return store


def run(people: Path, store: Store, parser: RedReader) -> Artifact:
    return parse(open_pictures(people), parser, store, settings=Fours(), workers=0)


def test_going_on_decodes_no_map(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = interrupted(people, tmp_path)
    monkeypatch.setattr(finished_maps, "read_indexed_png", lambda path: pytest.fail(f"{path} was decoded"))
    parser = RedReader()
    artifact = run(people, store, parser)
    assert artifact.manifest.metrics["resumed"] == 8 and parser.seen == 3
    assert not any("finished" in name for name in artifact.files)


def test_without_a_journal_maps_are_read(people: Path, tmp_path: Path) -> None:
    """So are those whose note a kill cut off."""
    store = interrupted(people, tmp_path)
    [journal] = store.root.rglob("finished-0.log")
    journal.write_bytes(journal.read_bytes()[:100])
    artifact = run(people, store, RedReader())
    assert artifact.manifest.metrics["resumed"] == 8
    assert artifact.manifest.metrics["label_share"] == run(people, store, RedReader()).manifest.metrics["label_share"]


def test_a_map_that_is_not_the_one_written_is_made_again(people: Path, tmp_path: Path) -> None:
    store = interrupted(people, tmp_path)
    one, other = sorted(store.root.rglob("labels/*.png"))[1:3]
    assert one.read_bytes() != other.read_bytes()
    one.write_bytes(other.read_bytes())
    artifact = run(people, store, RedReader())
    assert artifact.manifest.metrics["resumed"] == 4  # its batch comes again as a whole
    assert artifact.manifest.metrics["label_share"] == run(people, store, RedReader()).manifest.metrics["label_share"]


def test_batches_do_not_hang_on_what_is_done(people: Path, tmp_path: Path) -> None:
    class Company(RedReader):
        """Pictures by the pixel that tells their number."""

        def __init__(self) -> None:
            super().__init__()
            self.batches: list[list[int]] = []

        def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
            self.batches.append([int(image[0, 0, 1]) for image in images])
            return super().__call__(images)

    store = interrupted(people, tmp_path)
    sorted(store.root.rglob("labels/*.png"))[6].unlink()
    parser = Company()
    run(people, store, parser)
    assert parser.batches == [[4, 5, 6, 7], [8, 9, 10]]


def test_large_pictures_end_a_batch_early_and_do_not_move_the_next(people: Path) -> None:
    sizes = [100, 30, 30, 30, 100, 100, 30, 30, 30]
    items = [(str(number), np.zeros((size, size, 3), np.uint8)) for number, size in enumerate(sizes)]
    groups = [[int(path) for path, _ in group] for group in in_batches(iter(items), 4, max_pixels=15_000)]
    assert groups == [[0, 1, 2, 3], [4, 5], [6, 7], [8]]


def test_a_disk_that_fills_up_keeps_what_is_written(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, store = finished_maps.write_indexed_png, Store(tmp_path / "artifacts")

    def full(path: Path, labels: np.ndarray, palette: Any) -> None:
        if path.name.startswith("09"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, labels, palette)

    with monkeypatch.context() as patch, pytest.raises(WorkError, match="full") as caught:
        patch.setattr(finished_maps, "write_indexed_png", full)
        run(people, store, RedReader())
    assert "run again to go on" in caught.value.what
    assert run(people, store, RedReader()).manifest.metrics["resumed"] == 8


# -------------------------------------------------------------------------------------------------------------- rendering
def test_ctrl_c_in_synth_begins_no_more_people(tmp_path: Path) -> None:
    line = reidclip_command("synth", "data", "--ids", "60", "--images-per-camera", "1", "--workers", "2", "--size", "64x32")
    env = environment(tmp_path / "home", REPOSITORY)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(line, cwd=tmp_path, env=env, **pipes, text=True, start_new_session=True, preexec_fn=hear_interrupts)

    def done() -> int:
        return len(list((tmp_path / "data").rglob("*.jsonl")))

    while done() < 2 and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all processes
    before = done()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "", err
    assert "Interrupted." in err and "Traceback" not in err
    assert before <= done() <= before + 4 and not (tmp_path / "data" / ATTRIBUTES).exists()
