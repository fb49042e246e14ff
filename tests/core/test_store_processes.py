"""Several processes, killed processes, and what they leave behind."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reidclip.artifacts.store import Store
from reidclip.errors import WorkError
from tests.core.store_fixtures import SurpriseError, age, start_python


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


# ------------------------------------------------------------------------------------------------------------- left-overs
def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
        return process.pid


def abandoned(store: Store) -> Path:
    """A temporary folder as a process leaves it that was killed on this host."""
    with pytest.raises(SurpriseError), store.create("prompts", "p") as draft:
        name = draft.path.name
        raise SurpriseError
    path = draft.path.with_name(name.replace(f"-{os.getpid()}-", f"-{dead_process()}-"))
    path.mkdir(parents=True)
    (path / "prompts.safetensors").write_bytes(b"half")
    return path


def test_gc_removes_folders_of_dead_writers_only(store: Store) -> None:
    dead = abandoned(store)
    with store.create("prompts", "p") as draft:
        draft.write("prompts.safetensors", b"x")
        dead_again = abandoned(store)  # create() sweeps as well
        assert not dead.exists()
        assert store.gc(dry_run=True) == [dead_again]
        assert dead_again.exists()
        assert store.gc() == [dead_again]
        assert not dead_again.exists()
        assert draft.path.exists()
    assert store.verify(draft.artifact) == []


def test_gc_keeps_young_folders_of_unknown_writers(store: Store) -> None:
    foreign = store.root / "prompts/p/.tmp-1234567-ffffffaaaaaaaa"  # another host's
    (foreign / "a").mkdir(parents=True)
    (foreign / "a/x").write_bytes(b"x")
    age(foreign, days=13)
    assert store.gc() == []
    age(foreign, days=15)
    assert store.gc(dry_run=True) == [foreign, foreign.parent]
    assert store.gc() == [foreign, foreign.parent]
    assert not foreign.parent.exists()


def test_gc_removes_old_states_of_unfinished_trainings(store: Store) -> None:
    old, young = store.resume_dir("prompts", "p", "0a1b"), store.resume_dir("prompts", "p", "2c3d")
    assert old == store.root / ".runs/prompts-p-0a1b"
    assert store.resume_dir("prompts", "p", "0a1b") == old
    (old / "state.safetensors").write_bytes(b"x")
    (young / "state.safetensors").write_bytes(b"x")
    age(old, days=20)
    assert store.list() == []
    assert store.gc(older_than_days=30) == []
    assert store.gc() == [old]
    assert young.is_dir()


def test_gc_removes_empty_folders_at_any_age(store: Store) -> None:
    run, unlocked = store.resume_dir("prompts", "p", "0a1b"), store.resume_dir("prompts", "p", "2c3d")
    (unlocked / "lock").touch()  # its holder was killed
    with pytest.raises(SurpriseError), store.create("parsing", "s", resume_key="k"):
        raise SurpriseError  # before it wrote anything
    name, foreign = store.root / "parsing/s", store.root / "photos/empty"
    foreign.mkdir(parents=True)
    assert name.is_dir()
    assert store.gc(dry_run=True) == [name, run, unlocked]
    assert [path.is_dir() for path in (name, run, unlocked)] == [True] * 3
    assert (unlocked / "lock").exists()
    assert store.gc() == [name, run, unlocked]
    assert [path.exists() for path in (name, run, unlocked, foreign)] == [False, False, False, True]


def test_gc_keeps_a_run_folder_that_a_live_process_holds(store: Store) -> None:
    run = store.resume_dir("prompts", "p", "0a1b")
    script = """
import sys
import time
from pathlib import Path
from reidclip.artifacts.lock import exclusive
with exclusive(Path(sys.argv[1]) / "lock"):
    print("ready", flush=True)
    time.sleep(60)
"""
    with start_python(script, str(run)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        age(run, days=99)
        assert store.gc() == []
        assert run.is_dir()
        process.kill()
        process.wait()
    assert store.gc() == [run]


# ------------------------------------------------------------------------------------------------------- resumable drafts
def test_interrupted_resumable_draft_is_taken_up_again(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.create("parsing", "s", resume_key="k1") as draft:
        assert draft.existing == frozenset()
        draft.write("labels/1.png", b"one")
        (draft.path / "labels/2.png.part").write_bytes(b"ha")
        (draft.path / "labels/3.png").write_bytes(b"")
        raise KeyboardInterrupt
    assert store.list() == []
    with store.create("parsing", "s", resume_key="other") as fresh:
        assert fresh.existing == frozenset()
        fresh.write("labels/9.png", b"nine")
    with store.create("parsing", "s", resume_key="k1") as draft:
        assert draft.existing == {"labels/1.png"}
        draft.write("labels/2.png", b"two")
    assert sorted(draft.artifact.files) == ["labels/1.png", "labels/2.png"]
    assert store.verify(draft.artifact) == []
    assert sorted(os.listdir(store.root / "parsing/s")) == ["v0001", "v0002"]


def test_resumable_draft_belongs_to_one_process(store: Store) -> None:
    script = """
import sys
import time
from pathlib import Path
from reidclip.artifacts.store import Store
with Store(Path(sys.argv[1])).create("parsing", "s", resume_key="k") as draft:
    draft.write("a.png", b"a")
    print("ready", flush=True)
    time.sleep(60)
"""
    with start_python(script, str(store.root)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(WorkError, match="Another process"), store.create("parsing", "s", resume_key="k"):
            pass
        age(store.root / "parsing/s", days=99)
        assert store.gc() == []  # in use, however old
        process.kill()
        process.wait()
    with store.create("parsing", "s", resume_key="k") as draft:
        assert draft.existing == {"a.png"}
    assert draft.artifact.ref == "s@v1"


def test_gc_removes_old_partial_drafts(store: Store) -> None:
    with pytest.raises(SurpriseError), store.create("parsing", "s", resume_key="k") as draft:
        draft.write("a.png", b"a")
        raise SurpriseError
    assert store.gc() == []
    age(draft.path, days=15)
    assert store.gc() == [draft.path, draft.path.parent]
    assert os.listdir(store.root / "parsing") == []


def test_full_disk_keeps_what_a_resumable_draft_finished(store: Store) -> None:
    with pytest.raises(WorkError, match="run again to go on"), store.create("parsing", "s", resume_key="k") as draft:
        draft.write("a.png", b"a")
        raise OSError(errno.ENOSPC, "No space left on device")
    with store.create("parsing", "s", resume_key="k") as draft:
        assert draft.existing == {"a.png"}


# -------------------------------------------------------------------------------------------------------------- processes
_WRITER = """
import sys
from pathlib import Path
from reidclip.artifacts.store import Store
store, count = Store(Path(sys.argv[1])), int(sys.argv[2])
print("ready", flush=True)
done = 0
while count < 0 or done < count:
    with store.create("parsing", "s") as draft:
        for i in range(8):
            draft.write(f"labels/{i}.png", bytes([i]) * 5000)
    print(draft.artifact.ref, flush=True)
    done += 1
"""


def test_processes_that_write_the_same_name_get_different_versions(store: Store) -> None:
    writers = [start_python(_WRITER, str(store.root), "8") for _ in range(4)]
    told = [line for writer in writers for line in writer.communicate(timeout=60)[0].split() if line != "ready"]
    assert all(writer.returncode == 0 for writer in writers)
    assert sorted(told, key=lambda ref: int(ref[3:])) == [f"s@v{i}" for i in range(1, 33)]
    assert [a.ref for a in store.list()] == [f"s@v{i}" for i in range(1, 33)]
    assert all(store.verify(a) == [] for a in store.list())


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_writers_leave_whole_artifacts_only(store: Store) -> None:
    moments = random.Random(7)
    interrupted = turns = 0
    while turns < 4 or (interrupted == 0 and turns < 100):  # on a busy machine a moment may fall between two writes
        turns += 1
        writers = [start_python(_WRITER, str(store.root), "-1") for _ in range(2)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            time.sleep(moments.uniform(0.02, 0.15))
            assert all(a.manifest.payload.files == 8 for a in store.list())  # a reader meanwhile
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        interrupted += len(list((store.root / "parsing/s").glob(".tmp-*")))
    assert interrupted > 0, "no writer was hit in the middle: the test shows nothing"
    found = store.scan()
    assert found.unreadable == []
    assert len(found.artifacts) >= 1
    assert [store.verify(a) for a in found.artifacts] == [[]] * len(found.artifacts)
    store.gc()
    assert all(p.name.startswith("v") for p in (store.root / "parsing/s").iterdir())
