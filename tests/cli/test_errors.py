"""Every fault a person may meet, as a table (``errors.toml``), run over all commands and all registered plugins."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import subprocess
from collections.abc import Iterator
from functools import partial

import click
import numpy as np
import pytest
import torch
import typer
from PIL import Image, ImageOps

from reidclip import registry
from reidclip.artifacts.store import Store
from reidclip.data.images import read_indexed_png
from tests.cli.error_inputs import BUILDERS, build
from tests.cli.error_inputs.kitchen import Kitchen
from tests.cli.error_inputs.place import PICTURES, Place
from tests.cli.error_inputs.weights import Payload
from tests.cli.error_table import GROUPS, Outcome, Row, call, open_folder, plain, rows, written_rows
from tests.fakes import reidclip_command

ROWS = rows()
MOST_MEMORY_KB = 400_000  # that one row may add to the most that this process ever took


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    root = tmp_path_factory.mktemp("kitchen")

    def run(*words: str) -> None:
        outcome = call([*words, "--store", str(root / "artifacts"), "--workers", "0", "--device", "cpu", "-q"])
        assert outcome.exit == 0, words

    return Kitchen(root, run)


@pytest.fixture
def place(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with open_folder() as root:
        place = Place(root / "here", kitchen, monkeypatch)
        place.root.mkdir()
        place.root.chmod(0o777)
        monkeypatch.chdir(place.root)
        monkeypatch.setenv("REIDCLIP_STORE", str(place.store))
        monkeypatch.setenv("COLUMNS", "200")
        yield place


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_fault(row: Row, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    fault = build(place, list(row.input))
    before, most = artifacts(place), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = in_a_process(row, place) if row.process else call(row.words, capsys, place.unprivileged)
    place.patch.undo()
    told = f"{row.call}\nexit {outcome.exit}\nstderr: {outcome.stderr}\nstdout: {outcome.stdout}"

    assert outcome.exit == row.exit, told
    assert "Traceback" not in outcome.stderr + outcome.stdout and "Internal error" not in outcome.stderr, told
    heard = outcome.stderr if row.exit else f"{outcome.stderr} {outcome.stdout}"
    for sentence in row.says:
        assert plain(sentence) in heard, told
    assert plain(row.remedy) in heard, told
    assert row.stdout in outcome.stdout, told
    if row.exit and fault is not None:
        assert fault.name in outcome.stderr + outcome.stdout, f"does not name {fault.name}\n{told}"
    if row.exit and "--json" in row.words:
        assert not outcome.stdout or row.stdout, told
    assert not place.sentinel.exists(), f"code in a file was run\n{told}"

    assert not half_written(place), told
    new = artifacts(place) - before
    assert {ref.partition("/")[0] for ref in new} == set(row.writes), f"wrote {new}\n{told}"
    for ref in new:
        assert Store(place.store).verify(Store(place.store).open(ref)) == []
    if "parsing" in row.writes:
        assert_label_maps_fit(place)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < MOST_MEMORY_KB, f"took much memory\n{told}"


def in_a_process(row: Row, place: Place) -> Outcome:
    run = subprocess.run(reidclip_command(*row.words), cwd=place.root, capture_output=True, text=True, env={**os.environ})
    return Outcome(run.returncode, plain(run.stdout), plain(run.stderr))


def artifacts(place: Place) -> set[str]:
    """References of everything that readers of the store can see, damaged or whole."""
    if not place.store.is_dir() or not os.access(place.store, os.R_OK):
        return set()
    found = Store(place.store).scan()
    return {f"{a.kind}/{a.ref}" for a in found.artifacts} | {f"{b.kind}/{b.ref}" for b in found.unreadable}


def half_written(place: Place) -> list[str]:
    """What the command left that is no artifact: anything temporary but what the next run goes on from."""
    if not place.store.is_dir():
        return []
    found = [path.name for path in place.store.glob("*/*/.*") if not path.name.startswith(".partial-")]
    return [name for name in found if not name.startswith(".tmp-999999-")]  # a row's own left-over


def assert_label_maps_fit(place: Place) -> None:
    """Every whole picture has a label map of its size as a person sees it, upright."""
    folder = next(place.store.glob("parsing/*/v*/labels"))
    for path in sorted(folder.rglob("*.png")):
        beside = (place.data / path.relative_to(folder)).parent.glob("*")
        (picture,) = (p for p in beside if p.stem == path.stem and p.suffix.lower() in ALL)
        with Image.open(picture) as image:
            assert read_indexed_png(path)[0].shape == np.asarray(ImageOps.exif_transpose(image)).shape[:2]


ALL = {*PICTURES, ".tiff"}


# ------------------------------------------------------------------------------------------------------------- the table
def test_the_table_is_long_and_its_names_are_its_own() -> None:
    assert written_rows() >= 140
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


def leaves(command: click.Command, path: str = "") -> Iterator[str]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path
    else:
        for name, one in below.items():
            yield from leaves(one, f"{path} {name}".strip())


def test_every_command_has_a_row() -> None:
    from reidclip.cli.app import app

    commands = list(leaves(typer.main.get_command(app)))
    assert len(commands) > 10
    assert [c for c in commands if not any(f"{row.call} ".startswith(f"{c} ") for row in ROWS)] == []


@pytest.mark.parametrize("group", GROUPS)
def test_every_plugin_has_a_row(group: str) -> None:
    said = [{*row.call.split(), *(i.partition(":")[2] for i in row.input)} for row in ROWS]
    for name in registry.names(f"reidclip.{group}"):
        assert sum(name in words for words in said) >= 3, f"{group}: {name}"


def test_sentences_are_sentences() -> None:
    for row in ROWS:
        if row.exit:
            told = row.says or (row.stdout,)
            assert all(len(sentence) >= 15 and " " in sentence for sentence in told), row.name
            assert row.exit in (1, 2, 130), row.name
        else:
            assert row.says, f"{row.name} asserts nothing"


def test_every_input_is_used() -> None:
    used = {name.partition(":")[0] for row in ROWS for name in row.input}
    assert set(BUILDERS) - used == set()


@pytest.mark.parametrize("row", [row for row in ROWS if any("pickle" in i or "is_code" in i for i in row.input)], ids=lambda row: row.name)
def test_the_code_would_run_if_it_were_let(row: Row, place: Place) -> None:
    """Unpickling the files without care creates the sentinel: the rows can fail."""
    fault = build(place, list(row.input))
    assert fault is not None and not place.sentinel.exists()
    careless = pickle.loads if fault.suffix == ".safetensors" else partial(torch.load, weights_only=False)
    with contextlib.suppress(RuntimeError, TypeError, AttributeError):
        careless(fault.read_bytes() if careless is pickle.loads else fault)
    assert place.sentinel.exists()
    assert Payload(place.sentinel).sentinel == place.sentinel
