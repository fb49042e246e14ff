"""doctor as its user sees it: on a whole machine, and where something is missing, old or damaged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from reidclip.artifacts.store import Store
from reidclip.settings import tomllib
from reidclip.stages.doctor import SECTIONS
from reidclip.stages.doctor_finding import size
from reidclip.stages.doctor_machine import instruction_sets
from reidclip.stages.doctor_packages import FOR_DEVELOPERS, USES
from tests.cli.in_process import CommandLine
from tests.core.store_fixtures import age, make
from tests.fakes import REPOSITORY

Findings = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(autouse=True)
def _empty_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def examined(reidclip: CommandLine, *words: object, code: int = 0) -> Findings:
    told = reidclip("doctor", "--json", *words, code=code).json
    assert told["ok"] is (code == 0)
    return {(f["section"], f["name"]): f for f in told["findings"]}


def installed(folder: Path, name: str, version: str, entry_points: str = "") -> Path:
    """A distribution's metadata, as pip leaves it."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    return folder


def test_a_whole_machine(reidclip: CommandLine, store: Store) -> None:
    make(store, "checkpoint", "c", content=b"x" * 2500)
    found = examined(reidclip, "--store", store.root)
    assert list(dict.fromkeys(section for section, _ in found)) == list(SECTIONS)
    assert found["store", "checkpoint"]["facts"] == {"artifacts": 1, "bytes": 2500}
    assert {"baseline", "cal"} <= set(found["plugins", "methods"]["facts"]["names"])
    assert len(found["weights", "reidclip-tiny"]["facts"]["sha256"]) == 64
    assert found["devices", "cpu"]["facts"]["cores"] >= 1
    assert "gloo" in found["processes", "torch.distributed"]["facts"]["backends"]
    assert found["video", "codecs"]["facts"]["works"]
    assert found["disk", "store"]["facts"]["free"] > 0


def test_tables_for_people(reidclip: CommandLine, store: Store) -> None:
    make(store, "checkpoint", "c")
    out = reidclip("doctor", "--store", store.root).out
    assert [line for line in out.splitlines() if line.strip() in SECTIONS] and "nothing broken, " in out
    quiet = reidclip("doctor", "--store", store.root, "-q").out
    assert "nothing broken, " in quiet and "reidclip-tiny" not in quiet


def test_a_store_that_is_not_there_is_no_fault(reidclip: CommandLine, tmp_path: Path) -> None:
    assert examined(reidclip, "--store", tmp_path / "none")["store", str(tmp_path / "none")]["state"] == "absent"
    assert not (tmp_path / "none").exists()


class TestExtras:
    def test_absent_ones_say_what_they_would_add(self, reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "faiss", None)
        monkeypatch.setitem(sys.modules, "onnx", None)
        found = examined(reidclip)
        assert found["extras", "index"]["state"] == "absent" == found["extras", "onnx"]["state"]
        assert found["extras", "index"]["remedy"] == "pip install -U 'reidclip[index]'"
        assert found["extras", "index"]["told"] == f"{USES['index']}: faiss-cpu missing"
        assert found["extras", "onnx"]["facts"]["packages"]["onnx"] is None

    def test_old_ones_are_warned_of(self, reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        pytest.importorskip("faiss")
        monkeypatch.syspath_prepend(str(installed(tmp_path / "packages", "faiss-cpu", "1.8.1")))
        found = examined(reidclip)["extras", "index"]
        assert found["state"] == "warning"
        assert found["told"].endswith("faiss-cpu 1.8.1, older than 1.9")

    def test_each_has_its_use(self) -> None:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert set(USES) == set(project["optional-dependencies"]) - set(FOR_DEVELOPERS)


class TestPackages:
    @pytest.mark.parametrize(
        ("module", "broken"),
        [("torch", {("versions", "torch"), ("devices", "torch")}), ("cv2", {("versions", "opencv-python"), ("video", "opencv")})],
    )
    def test_one_that_is_gone(
        self, reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch, module: str, broken: set[tuple[str, str]]
    ) -> None:
        monkeypatch.setitem(sys.modules, module, None)
        found = examined(reidclip, code=1)
        assert {key for key, f in found.items() if f["state"] == "broken"} == broken
        assert all(found[key]["remedy"] for key in broken)

    def test_an_old_one(self, reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.syspath_prepend(str(installed(tmp_path / "packages", "rich", "9.13.0")))
        found = examined(reidclip)["versions", "rich"]
        assert (found["state"], found["told"], found["remedy"]) == ("warning", "9.13.0, older than 13.7", "pip install -U rich")


def test_a_broken_plugin(reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = "[reidclip.methods]\nodd = no_such_module:METHOD\n"
    monkeypatch.syspath_prepend(str(installed(tmp_path / "packages", "stranger", "1.0", points)))
    monkeypatch.setenv("REIDCLIP_PLUGINS", "stranger")
    found = examined(reidclip, code=1)
    assert found["plugins", "odd"]["state"] == "broken"
    assert "no_such_module:METHOD of stranger cannot be loaded: ModuleNotFoundError" in found["plugins", "odd"]["told"]
    assert found["plugins", "odd"]["remedy"].endswith("pip uninstall stranger")
    assert "cal" in found["plugins", "methods"]["facts"]["names"]
    assert found["plugins", "REIDCLIP_PLUGINS"]["state"] == "warning"


class TestStore:
    def test_a_damaged_manifest(self, reidclip: CommandLine, store: Store) -> None:
        make(store, "checkpoint", "whole")
        (make(store, "masks", "cut").path / "manifest.json").write_text("{")
        found = examined(reidclip, "--store", store.root, code=1)
        assert found["store", "masks/cut@v1"]["state"] == "broken"
        assert "reidclip artifacts rm --force masks/cut@v1" in found["store", "masks/cut@v1"]["remedy"]
        assert found["store", "checkpoint"]["facts"]["artifacts"] == 1

    def test_a_changed_file_is_found_on_request(self, reidclip: CommandLine, store: Store) -> None:
        make(store, "masks", "whole")
        changed = make(store, "checkpoint", "c").path / "model.safetensors"
        changed.chmod(0o644)
        changed.write_bytes(b"other")
        examined(reidclip, "--store", store.root)
        found = examined(reidclip, "--store", store.root, "--verify", code=1)
        assert "digest mismatch" in found["store", "checkpoint/c@v1"]["told"]
        assert found["store", "verified"]["told"] == "1 of 2 artifacts whole, every file read"

    def test_what_was_left_behind_is_warned_of_and_stays(self, reidclip: CommandLine, store: Store) -> None:
        left = make(store, "checkpoint", "c").path.parent / ".partial-old"
        left.mkdir()
        age(left, 30)
        found = examined(reidclip, "--store", store.root)
        assert found["store", "left behind"]["facts"]["paths"] == [str(left)]
        assert left.is_dir()

    def test_a_file_in_its_place(self, reidclip: CommandLine, tmp_path: Path) -> None:
        (tmp_path / "artifacts").write_text("")
        found = examined(reidclip, "--store", tmp_path / "artifacts", code=1)
        assert "is a file, not a folder" in found["store", str(tmp_path / "artifacts")]["told"]


class TestWeights:
    def test_of_the_hubs_cache_are_named_as_clip_takes_them(self, reidclip: CommandLine, tmp_path: Path) -> None:
        snapshot = tmp_path / "hub" / "models--timm--vit_base_patch16_clip_224.openai" / "snapshots" / "1"
        snapshot.mkdir(parents=True)
        (snapshot / "open_clip_model.safetensors").write_bytes(b"x" * 1500)
        (tmp_path / "hub" / "models--other--words").mkdir()
        found = examined(reidclip)
        assert "ViT-B-16-quickgelu:openai" in found["weights", "timm/vit_base_patch16_clip_224.openai"]["facts"]["tags"]
        assert ("weights", "other/words") not in found and ("weights", "hub") not in found

    def test_none_there(self, reidclip: CommandLine) -> None:
        assert examined(reidclip)["weights", "hub"]["state"] == "absent"

    def test_a_bundled_file_that_was_cut_off(self, reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        whole = REPOSITORY / "reidclip" / "weights" / "reidclip-tiny.safetensors"
        (tmp_path / "reidclip-tiny.safetensors").write_bytes(whole.read_bytes()[:-1000])
        monkeypatch.setattr("reidclip.stages.doctor_weights._bundled", lambda: [tmp_path / "reidclip-tiny.safetensors"])
        found = examined(reidclip, code=1)["weights", "reidclip-tiny"]
        assert "cut off" in found["told"] and "--force-reinstall" in found["remedy"]


def test_values_of_the_environment_are_not_told(reidclip: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_4711")
    monkeypatch.setenv("REIDCLIP_PLUGINS", "secret-4712")
    run = reidclip("doctor", "--json")
    assert "secret" not in run.out + run.err


@pytest.mark.parametrize(
    ("info", "wanted"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 avx512_vnni", (["avx2", "avx512f"], ["avx512_bf16"], ["avx512_vnni"])),
        ("processor : 0\nFeatures : fp asimd bf16 i8mm asimddp", (["asimd"], ["bf16"], ["i8mm", "asimddp"])),
        ("", ([], [], [])),
    ],
)
def test_instruction_sets(info: str, wanted: tuple[list[str], ...]) -> None:
    assert tuple(instruction_sets(info).values()) == wanted


@pytest.mark.parametrize(("count", "told"), [(0, "0 bytes"), (1500, "1.5 kB"), (271e9, "271 GB"), (2.5e12, "2.5 TB")])
def test_sizes(count: float, told: str) -> None:
    assert size(count) == told
