"""`reidclip artifacts`: what is printed, as a table and as JSON, and the exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.store import Artifact, Store
from reidclip.cli.artifacts import app
from reidclip.errors import UserError

DATA = DatasetRef(layout="prcc", root="data/prcc", fingerprint="f" * 64, samples=5, splits={"train": 3, "query": 2})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def chain(store: Store) -> list[Artifact]:
    """Masks made from data, prompts made from the masks."""
    with store.create("masks", "schp-prcc") as masks:
        masks.write("a/1.png", b"mask")
        masks.describe(method="schp-tiny", dataset=DATA, device="cpu")
    with store.create("prompts", "ccaf-prcc") as prompts:
        prompts.write("prompts.safetensors", b"x" * 1500)
        prompts.describe(
            method="ccaf", plugin_version="1", seed=4, config={"lr": 0.5, "tag": "[bold]"}, metrics={"loss": 0.25}, dataset=DATA
        )
        prompts.describe(inputs=[InputRef.of(masks.artifact, role="masks")], notes=["a warning"])
    return [masks.artifact, prompts.artifact]


def call(store: Store, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--store", str(store.root)], env={"COLUMNS": "200"})


def call_json(store: Store, *arguments: str) -> Any:
    result = call(store, *arguments, "--json")
    return json.loads(result.stdout)


# ------------------------------------------------------------------------------------------------------------ list, show
def test_list_shows_every_artifact(store: Store, chain: list[Artifact]) -> None:
    result = call(store, "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["schp-prcc@v1", "masks"], ["ccaf-prcc@v1", "prompts"]]
    assert re.search(r"schp-tiny +prcc +1 +4 B", lines[1])
    assert re.search(r"ccaf +prcc +1 +1\.5 kB", lines[2])


def test_list_as_json(store: Store, chain: list[Artifact]) -> None:
    found = call_json(store, "list")
    assert [entry["ref"] for entry in found["artifacts"]] == ["schp-prcc@v1", "ccaf-prcc@v1"]
    assert found["artifacts"][1]["manifest"]["metrics"] == {"loss": 0.25}
    assert found["artifacts"][0]["digest"] == chain[0].digest
    assert found["unreadable"] == []
    assert [entry["ref"] for entry in call_json(store, "list", "--kind", "prompts")["artifacts"]] == ["ccaf-prcc@v1"]


def test_list_of_an_empty_store_says_how_to_start(store: Store) -> None:
    result = call(store, "list")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "reidclip mask" in result.stderr
    assert call_json(store, "list") == {"store": str(store.root), "artifacts": [], "unreadable": []}


def test_list_shows_damaged_artifacts(store: Store, chain: list[Artifact]) -> None:
    (chain[0].path / "manifest.json").write_text("{")
    result = call(store, "list")
    assert "damaged: masks/schp-prcc@v1" in result.stdout
    assert "ccaf-prcc@v1" in result.stdout
    assert [entry["ref"] for entry in call_json(store, "list")["unreadable"]] == ["schp-prcc@v1"]


def test_show_prints_the_manifest_without_reading_it_as_markup(store: Store, chain: list[Artifact]) -> None:
    out = call(store, "show", "ccaf-prcc").stdout
    for text in ("prompts/ccaf-prcc@v1", chain[1].digest, "lr = 0.5", 'tag = "[bold]"', "loss = 0.25", "a warning", "ccaf (version 1)"):
        assert text in out
    assert f"masks: masks/schp-prcc@v1  {chain[0].digest[:12]}" in out
    assert re.search(r"data/prcc \(prcc; 5 samples: train 3, query 2; fingerprint f{12}\)", out)
    assert "a/1.png" in call(store, "show", "schp-prcc", "--files").stdout


def test_show_as_json_holds_the_manifest_and_on_demand_the_files(store: Store, chain: list[Artifact]) -> None:
    shown = call_json(store, "show", "ccaf-prcc@v1")
    assert shown["manifest"] == json.loads((chain[1].path / "manifest.json").read_text())
    assert "files" not in shown
    assert call_json(store, "show", "schp-prcc", "--files")["files"]["a/1.png"]["size"] == 4


# ------------------------------------------------------------------------------------------------------------ verify
def test_verify_whole_store(store: Store, chain: list[Artifact]) -> None:
    result = call(store, "verify")
    assert result.exit_code == 0
    assert result.stdout.split() == ["ok", "masks/schp-prcc@v1", "ok", "prompts/ccaf-prcc@v1"]
    assert call_json(store, "verify")["ok"] is True


def test_verify_tells_damage_and_ends_with_1(store: Store, chain: list[Artifact]) -> None:
    (chain[1].path / "prompts.safetensors").write_bytes(b"y")
    (chain[0].path / "manifest.json").write_text("{")
    result = call(store, "verify")
    assert result.exit_code == 1
    assert "prompts.safetensors: digest mismatch" in result.stdout
    assert "BAD masks/schp-prcc@v1" in result.stdout
    assert "rm --force" in result.stderr
    report = call_json(store, "verify", "ccaf-prcc")
    assert report["ok"] is False
    assert len(report["artifacts"]) == 1
    assert call(store, "verify", "schp-prcc").exit_code == 1


def test_artifact_of_a_newer_toolkit_is_not_called_damaged(store: Store, chain: list[Artifact]) -> None:
    path = chain[1].path / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 3', '"schema_version": 99'))
    listed = call(store, "list").stdout
    assert "newer: prompts/ccaf-prcc@v1: " in listed
    assert "damaged" not in listed
    assert [entry["state"] for entry in call_json(store, "list")["unreadable"]] == ["newer"]
    for reference in ([], ["ccaf-prcc"], [str(chain[1].path)]):
        result = call(store, "verify", *reference)
        assert result.exit_code == 1
        assert "has schema 99" in " ".join(result.stdout.split())
        assert "newer " in result.stdout
        assert "BAD" not in result.stdout
        assert "a reidclip that reads their schema" in result.stderr
        assert not re.search(r"\brm\b|[Dd]amaged", result.stdout + result.stderr)
        assert call_json(store, "verify", *reference)["artifacts"][-1]["state"] == "newer"
    shown = call(store, "show", "ccaf-prcc").exception
    assert isinstance(shown, UserError)
    assert shown.remedy == "Use a reidclip that reads schema 99."
    (chain[0].path / "manifest.json").write_text("{")
    assert "rm --force" in call(store, "verify").stderr  # the other one is damaged


def test_verify_shows_ten_problems_at_most(store: Store) -> None:
    with store.create("masks", "m") as draft:
        for i in range(14):
            draft.write(f"{i}.png", b"x")
    for path in draft.artifact.path.glob("*.png"):
        path.unlink()
    out = call(store, "verify", "m").stdout
    assert out.count("missing") == 10
    assert "and 4 more" in out
    assert len(call_json(store, "verify", "m")["artifacts"][0]["problems"]) == 14


# ------------------------------------------------------------------------------------------------------------ lineage, rm, gc
def test_lineage_as_tree_and_json(store: Store, chain: list[Artifact]) -> None:
    out = call(store, "lineage", "ccaf-prcc").stdout
    assert out.index("prompts/ccaf-prcc@v1") < out.index("masks: masks/schp-prcc@v1")
    assert out.count("data: data/prcc") == 2
    tree = call_json(store, "lineage", "ccaf-prcc")
    assert [(node["role"], node["ref"], node["state"]) for node in tree["inputs"]] == [("masks", "schp-prcc@v1", "ok")]
    store.remove(chain[0], force=True)
    assert re.search(r"masks/schp-prcc@v1 .* missing", call(store, "lineage", "ccaf-prcc").stdout)
    assert call_json(store, "lineage", "ccaf-prcc")["inputs"][0]["state"] == "missing"


def test_rm_refuses_what_others_need(store: Store, chain: list[Artifact]) -> None:
    result = call(store, "rm", "schp-prcc@v1")
    assert isinstance(result.exception, UserError)
    assert "input of prompts/ccaf-prcc@v1" in str(result.exception)
    assert call_json(store, "rm", "schp-prcc@v1", "--force") == {"removed": [str(chain[0].path)]}
    assert call(store, "rm", "ccaf-prcc@v1").stdout.split() == ["Removed", str(chain[1].path)]
    assert store.list() == []


@pytest.mark.parametrize("versions", [1, 2])
@pytest.mark.parametrize("ref", ["p", "prompts/p"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_rm_always_wants_the_version(store: Store, versions: int, ref: str, force: list[str]) -> None:
    for _ in range(versions):
        with store.create("prompts", "p") as draft:
            draft.write("prompts.safetensors", b"x")
    result = call(store, "rm", ref, *force)
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == 2
    assert result.exception.remedy == "Say which: " + ", ".join(f"prompts/p@v{i + 1}" for i in range(versions)) + "."
    assert len(store.list()) == versions
    assert call(store, "rm", f"{ref}@v1", *force).exit_code == 0
    assert [a.ref for a in store.list()] == ["p@v2"][: versions - 1]


def test_rm_takes_the_path_of_a_version(store: Store, chain: list[Artifact]) -> None:
    assert call(store, "rm", str(chain[1].path)).exit_code == 0
    assert store.list() == [chain[0]]


def test_rm_removes_a_damaged_artifact(store: Store, chain: list[Artifact]) -> None:
    (chain[1].path / "manifest.json").write_text("{")
    assert call(store, "rm", "prompts/ccaf-prcc@v1").exit_code == 0
    assert not chain[1].path.exists()


def test_rm_removes_an_artifact_of_a_newer_toolkit_only_as_asked(store: Store, chain: list[Artifact]) -> None:
    path = chain[1].path / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 3', '"schema_version": 4'))
    result = call(store, "rm", "ccaf-prcc@v1")
    assert isinstance(result.exception, UserError)
    assert "schema 4" in result.exception.remedy
    assert path.exists()
    assert call(store, "rm", "ccaf-prcc@v1", "--force").exit_code == 0
    assert not path.exists()


def test_gc_reports_what_it_removes(store: Store) -> None:
    path = store.resume_dir("prompts", "p", "k")
    (path / "clip.json").write_text("{}")
    assert "Nothing to remove" in call(store, "gc").stderr
    assert call(store, "gc", "--days", "0", "--dry-run").stdout.split() == ["Would", "remove", str(path)]
    assert path.exists()
    assert call_json(store, "gc", "--days", "0") == {"removed": [str(path)]}
    assert not path.exists()


# ------------------------------------------------------------------------------------------------------------ errors
@pytest.mark.parametrize("command", ["show", "verify", "lineage", "rm"])
def test_unknown_reference_names_the_nearest(store: Store, chain: list[Artifact], command: str) -> None:
    result = call(store, command, "ccaf-prc")
    assert isinstance(result.exception, UserError)
    assert "Did you mean 'ccaf-prcc'" in result.exception.remedy


def test_unknown_kind_names_the_nearest(store: Store) -> None:
    result = call(store, "list", "--kind", "mask")
    assert isinstance(result.exception, UserError)
    assert "Did you mean 'masks'" in result.exception.remedy


@pytest.mark.parametrize("command", [["list"], ["verify"], ["gc"], ["show", "x"]])
def test_store_that_is_a_file(store: Store, command: list[str]) -> None:
    store.root.write_text("x")
    result = call(store, *command)
    assert isinstance(result.exception, UserError)
    assert "is a file" in result.exception.what


def test_commands_do_not_import_torch(store: Store, chain: list[Artifact]) -> None:
    command = "app(['verify', '--store', sys.argv[1]], standalone_mode=False)"
    script = f"import sys; from reidclip.cli.artifacts import app; {command}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script, str(store.root)], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "False"
