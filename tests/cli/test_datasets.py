"""`reidclip datasets`: what is supported, and what verify finds in good, wrong, broken and rendered copies."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reidclip import registry
from reidclip.data.layouts.prcc import PrccLayout
from reidclip.data.published import count, left_out
from reidclip.records import Dataset
from reidclip.registry import PluginInfo
from reidclip.stages.verify import verify
from tests import trees
from tests.cli.in_process import CommandLine

GOOD_COUNTS = (
    count("identities", 3, "C", "train"),
    count("images", 9, "R", "train"),
    count("images", 18, "T"),
    count("clothes", 4, "S", "test-A", "test-B", "test-C"),
    left_out("junk", 2, "T"),
    count("images", 2, "G", "val"),
)


class SmallLayout(PrccLayout):
    """PRCC whose published counts are those of `trees.prcc`."""

    name = "small"
    title = "A small PRCC"
    source = "Ask nobody."
    published = GOOD_COUNTS

    def load(self, root: Path) -> Dataset:
        return dataclasses.replace(super().load(root), layout=self.name, left_out={"junk": 2})


@pytest.fixture
def reidclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the layouts given, and one that is broken, be the only ones."""

    def only(*layouts: Any) -> None:
        infos = {layout.name: PluginInfo("reidclip.layouts", layout.name, "x:Y", "tests", "1", layout) for layout in layouts}
        infos["broken"] = PluginInfo("reidclip.layouts", "broken", "x:Z", "tests", "1", error="ImportError: no module\nnamed q")
        monkeypatch.setattr(registry, "names", lambda group: sorted(infos))
        monkeypatch.setattr(registry, "info", lambda group, name: infos[name])

    return only


@pytest.fixture
def small(register: Callable[..., None], tmp_path: Path) -> Path:
    """A whole copy of the small PRCC."""
    register(SmallLayout())
    return trees.prcc(tmp_path / "small")


def with_counts(register: Callable[..., None], *counts: Any) -> None:
    layout = SmallLayout()
    layout.published = counts
    register(layout)


def findings(report: Any, level: str, check: str) -> list[dict[str, Any]]:
    return [f for f in report["findings"] if f["level"] == level and f["check"] == check]


def one(found: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(found) == 1, found
    return found[0]


# ------------------------------------------------------------------------------------------------------------- list and show
class TestList:
    def test_every_layout_says_where_to_ask_and_what_is_published(self, reidclip: CommandLine) -> None:
        told = {d["name"]: d for d in reidclip("datasets", "list", "--json").json["datasets"]}
        assert {"prcc", "folder"} <= set(told)
        assert all(d["state"] == "ok" and d["title"] and d["tree"] for d in told.values())
        assert {"what": "train: images", "value": 17_896, "mark": "C"} in told["prcc"]["published"]
        assert "research" in told["prcc"]["source"]

    def test_table(self, reidclip: CommandLine) -> None:
        lines = reidclip("datasets", "list").out.splitlines()
        (line,) = [line for line in lines if line.startswith("prcc ")]
        assert "PRCC (Yang, Wu, Zheng; TPAMI 2021)" in line and "221 identities, 33,698 images" in line

    def test_a_broken_plugin_is_one_line(self, reidclip: CommandLine, register: Callable[..., None]) -> None:
        register(SmallLayout())
        lines = reidclip("datasets", "list").out.splitlines()
        assert "broken  broken: ImportError: no module named q (of tests)" in lines
        assert any(line.startswith("small ") for line in lines)
        entry = next(d for d in reidclip("datasets", "list", "--json").json["datasets"] if d["name"] == "broken")
        assert entry["state"] == "broken" and entry["published"] == []

    def test_without_totals_the_training_split_speaks(self, reidclip: CommandLine, register: Callable[..., None]) -> None:
        with_counts(
            register, count("identities", 1_041, "R", "train"), count("images", 30_248, "R", "train"), count("images", 5, "T", "query")
        )
        assert "train: 1,041 identities, 30,248 images" in reidclip("datasets", "list").out


class TestShow:
    def test_everything_of_one(self, reidclip: CommandLine) -> None:
        out = reidclip("datasets", "show", "prcc").out
        assert "--dataset prcc" in out and "DATA/rgb/train/<pid>/" in out and "source: The authors" in out
        (row,) = [line.split() for line in out.splitlines() if line.startswith("val: identities")]
        assert row == ["val:", "identities", "150", "G"]
        assert "G  hearsay" in out and "C  counted from a complete list" in out

    def test_protocols_that_are_easily_mistaken_are_told_apart(self, reidclip: CommandLine) -> None:
        out = reidclip("datasets", "show", "vcclothes").out
        assert "cloth-changing (rule std): As published: only pictures of cameras 3 and 4" in out and "cc-labels (rule cc): " in out
        assert [p["name"] for p in reidclip("datasets", "show", "market1501", "--json").json["protocols"]] == ["general"]

    def test_only_marks_that_occur_are_explained(self, reidclip: CommandLine, register: Callable[..., None]) -> None:
        with_counts(register, count("images", 18, "T"))
        out = reidclip("datasets", "show", "small").out
        assert "  T  measured" in out and "hearsay" not in out

    def test_own_data_has_no_counts(self, reidclip: CommandLine) -> None:
        out = reidclip("datasets", "show", "folder").out
        assert "index.csv" in out and "Marks" not in out and "source" not in out

    @pytest.mark.parametrize(("name", "sentence"), [("prc", "Did you mean 'prcc'?"), ("broken", "cannot be loaded: ImportError")])
    def test_unknown_or_broken(self, name: str, sentence: str, reidclip: CommandLine, register: Callable[..., None]) -> None:
        if name == "broken":
            register(SmallLayout())
        assert sentence in " ".join(reidclip("datasets", "show", name, code=2).err.split())


# ------------------------------------------------------------------------------------------------------------- counts
class TestCounts:
    def test_a_whole_copy_is_good(self, small: Path, reidclip: CommandLine) -> None:
        report = reidclip("datasets", "verify", small, "--strict", "--json").json
        assert report["ok"] is True and report["not_compared"] == ""
        assert [(c["what"], c["found"], c["state"]) for c in report["counts"]] == [
            ("train: identities", 3, "same"),
            ("train: images", 9, "same"),
            ("all: images", 18, "same"),
            ("test-A + test-B + test-C: clothes", 4, "same"),
            ("left out, junk: images", 2, "same"),
            ("val: images", 2, "same"),
        ]
        assert report["left_out"] == {"junk": 2}

    def test_splits(self, small: Path, reidclip: CommandLine) -> None:
        splits = reidclip("datasets", "verify", small, "--json").json["splits"]
        assert splits[0] == {"split": "train", "identities": 3, "pictures": 9, "outfits": 6, "cameras": 3}
        assert [s["split"] for s in splits] == ["train", "val", "test-A", "test-B", "test-C"]

    @pytest.mark.parametrize("mark", ["C", "R", "S", "T"])
    def test_a_wrong_count_fails(self, mark: Any, small: Path, reidclip: CommandLine, register: Callable[..., None]) -> None:
        with_counts(register, *GOOD_COUNTS, count("images", 10, mark, "train"))
        report = reidclip("datasets", "verify", small, "--json", code=1).json
        assert report["ok"] is False and report["counts"][-1]["state"] == "differs"
        text = one(findings(report, "fault", "counts"))["text"]
        assert "1 of 7 (" in text and "train: images: 9 found, 10 published" in text and "--no-counts" in text

    def test_a_missing_file_is_a_wrong_count(self, small: Path, reidclip: CommandLine) -> None:
        (small / "rgb/train/101/C_cropped_rgb005.jpg").unlink()
        run = reidclip("datasets", "verify", small, code=1)
        assert "not good: 1 fault" in run.out
        (row,) = [line.split() for line in run.out.splitlines() if line.startswith("all: images")]
        assert row[2:] == ["17", "18", "T", "differs"]

    def test_hearsay_only_warns(self, small: Path, reidclip: CommandLine, register: Callable[..., None]) -> None:
        with_counts(register, count("images", 18, "T"), count("identities", 77, "G", "val"))
        run = reidclip("datasets", "verify", small)
        assert "hearsay: 1 of 2 (val: identities: 2 found, 77 published)" in run.out and "1 warning" in run.out
        reidclip("datasets", "verify", small, "--strict", code=1)

    def test_a_part_on_purpose(self, small: Path, reidclip: CommandLine, register: Callable[..., None]) -> None:
        with_counts(register, count("images", 33_698, "T"))
        report = reidclip("datasets", "verify", small, "--no-counts", "--json").json
        assert report["ok"] is True and report["counts"] == [] and "--no-counts" in report["not_compared"]

    def test_rendered_sets_are_not_compared(self, small: Path, reidclip: CommandLine, register: Callable[..., None]) -> None:
        with_counts(register, count("images", 33_698, "T"))
        (small / "synth.json").write_text("{}")
        for root in (small, small / "rgb"):
            report = reidclip("datasets", "verify", root, "--json").json
            assert report["ok"] is True and report["rendered"] is True and report["counts"] == []
            assert "do not apply" in report["not_compared"]

    def test_an_unfinished_rendering_is_told(self, small: Path, reidclip: CommandLine) -> None:
        (small / "synth.json").write_text("{}")
        (small / ".synth").mkdir()
        report = reidclip("datasets", "verify", small, "--json").json
        assert "repeat the `reidclip synth`" in one(findings(report, "warning", "counts"))["text"]

    def test_a_count_that_raises_is_the_plugins_fault(self, small: Path, reidclip: CommandLine, register: Callable[..., None]) -> None:
        with_counts(register, dataclasses.replace(GOOD_COUNTS[0], of=lambda dataset: 1 // 0))
        assert "failed to count 'train: identities': ZeroDivisionError" in reidclip("datasets", "verify", small, code=1).err


# ------------------------------------------------------------------------------------------------------------- pictures
class TestPictures:
    def test_all_are_opened(self, small: Path, reidclip: CommandLine) -> None:
        pictures = reidclip("datasets", "verify", small, "--json").json["pictures"]
        total = sum(p.stat().st_size for p in small.rglob("*.jpg"))
        assert pictures["opened"] == 18 and pictures["megabytes"] == pytest.approx(total / 1e6, abs=5e-4)
        assert pictures["height"] == {"least": 32, "median": 32, "most": 32} and pictures["width"]["most"] == 16
        assert pictures["modes"] == {"RGB": 18} and pictures["formats"] == {"JPEG": 18} and pictures["unreadable"] == {}

    def test_broken_ones_are_named_with_what_is_wrong(self, small: Path, reidclip: CommandLine) -> None:
        names = ["rgb/train/092/A_cropped_rgb001.jpg", "rgb/train/095/A_cropped_rgb010.jpg", "rgb/test/C/300/cropped_rgb001.jpg"]
        cut, empty, text = (small / name for name in names)
        cut.write_bytes(cut.read_bytes()[:-80])
        empty.write_bytes(b"")
        text.write_text("not a picture")
        run = reidclip("datasets", "verify", small, "--json", code=1)
        unreadable = run.json["pictures"]["unreadable"]
        assert set(unreadable) == set(names)
        assert unreadable[names[0]].startswith("damaged or cut off")
        assert unreadable[names[1]] == "empty (0 bytes)"
        assert unreadable[names[2]].startswith("not a readable picture")
        told = reidclip("datasets", "verify", small, "--show", "1", code=1).out
        assert "cannot be read: 3 of 18" in told and "2 more (--show 3, or --json)" in told
        assert str(small) not in told.split("cannot be read:")[1], "files are named relative to the data set"

    def test_an_absurdly_large_picture_fills_no_memory(self, small: Path, reidclip: CommandLine) -> None:
        name = "rgb/train/092/A_cropped_rgb001.jpg"
        Image.new("1", (30_000, 3_000)).save(small / name, format="PNG")
        unreadable = reidclip("datasets", "verify", small, "--json", code=1).json["pictures"]["unreadable"]
        assert "30000 x 3000 pixels" in unreadable[name]

    def test_oddities_are_notes(self, small: Path, reidclip: CommandLine) -> None:
        grey, turned, png, tiny, wide = sorted((small / "rgb/train").rglob("*.jpg"))[:5]
        Image.new("L", (16, 32), 77).save(grey)
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (33, 17), (9, 1, 200)).save(turned, exif=exif)
        Image.new("RGB", (16, 32), (1, 2, 3)).save(png, format="PNG")
        Image.new("RGB", (4, 9), (1, 2, 3)).save(tiny)
        Image.new("RGB", (400, 120), (1, 2, 3)).save(wide)
        report = reidclip("datasets", "verify", small, "--json", "--strict").json
        notes = {f["text"]: f["files"] for f in findings(report, "note", "pictures")}

        def files(part: str) -> list[str]:
            return next(named for text, named in notes.items() if part in text)

        def relative(path: Path) -> str:
            return path.relative_to(small).as_posix()

        assert files("converted when read (L 1)") == [f"{relative(grey)}: L"]
        assert files("EXIF") == [relative(turned)]
        assert files("another format") == [f"{relative(png)}: PNG"]
        assert files("smaller than 32 x 16") == [f"{relative(tiny)}: 9 x 4"]
        assert files("wider than tall") == [f"{relative(wide)}: 120 x 400"], "the turned picture stands upright"
        assert any("heights from 9 to 120" in text for text in notes)

    def test_without_opening(self, small: Path, reidclip: CommandLine) -> None:
        (small / "rgb/train/092/A_cropped_rgb001.jpg").write_bytes(b"")
        report = reidclip("datasets", "verify", small, "--no-open", "--json").json
        assert report["ok"] is True and report["pictures"] is None
        assert "--no-open" in reidclip("datasets", "verify", small, "--no-open").out

    def test_workers_find_the_same(self, tmp_path: Path) -> None:
        root = trees.prcc(tmp_path / "data", [f"rgb/train/101/B_cropped_rgb{n:03d}.jpg" for n in range(6, 80)])
        broken = root / "rgb/train/101/B_cropped_rgb050.jpg"
        broken.write_bytes(broken.read_bytes()[:300])
        alone, together = verify(root, "prcc", workers=0), verify(root, "prcc", workers=2)
        assert alone.pictures is not None and together.pictures is not None
        assert list(alone.pictures.unreadable) == ["rgb/train/101/B_cropped_rgb050.jpg"]
        assert alone.findings == together.findings
        assert dataclasses.replace(alone.pictures, seconds=0) == dataclasses.replace(together.pictures, seconds=0)


# ------------------------------------------------------------------------------------------------------------- duplicates
A1, A2 = "rgb/train/092/A_cropped_rgb001.jpg", "rgb/train/092/A_cropped_rgb1002.jpg"
OTHER, VAL = "rgb/train/095/A_cropped_rgb010.jpg", "rgb/val/092/B_cropped_rgb100.jpg"
GALLERY, QUERY = "rgb/test/A/001/cropped_rgb001.jpg", "rgb/test/C/001/cropped_rgb001.jpg"


class TestDuplicates:
    @pytest.mark.parametrize(
        ("first", "second", "kind", "level"),
        [
            (A1, OTHER, "identities", "fault"),
            (A1, QUERY, "identities", "fault"),
            (A1, VAL, "splits", "warning"),
            (GALLERY, QUERY, "splits", "warning"),
            (A1, A2, "split", "note"),
        ],
    )
    def test_kinds(self, first: str, second: str, kind: str, level: str, small: Path, reidclip: CommandLine) -> None:
        (small / second).write_bytes((small / first).read_bytes())
        report = reidclip("datasets", "verify", small, "--no-counts", "--json", code=int(level == "fault")).json
        (group,) = report["pictures"]["duplicates"]
        assert group == {
            "kind": kind,
            "sha256": hashlib.sha256((small / first).read_bytes()).hexdigest(),
            "paths": [p for p in (A1, A2, OTHER, VAL, GALLERY, QUERY) if p in (first, second)],
        }
        assert one(findings(report, level, "duplicates"))["files"] == [" = ".join(group["paths"])]

    def test_one_person_in_training_and_test(self, tmp_path: Path, reidclip: CommandLine) -> None:
        rows = [*trees.FOLDER_ROWS, ("c/1.jpg", 7, 1, 70, "gallery")]
        root = trees.folder(tmp_path / "own", trees.table(rows))
        (root / "c").mkdir()
        (root / "c/1.jpg").write_bytes((root / "a/1.jpg").read_bytes())
        report = reidclip("datasets", "verify", root, "--json", code=1).json
        assert report["pictures"]["duplicates"][0]["kind"] == "train-test"
        assert "Results will look better" in one(findings(report, "fault", "duplicates"))["text"]
        assert "in the training and in the test half: 1 (7)" in one(findings(report, "warning", "labels"))["text"]

    def test_halves_that_are_numbered_apart(self, tmp_path: Path, reidclip: CommandLine) -> None:
        """In MSMT17 person 0 of training and person 0 of test are two people, so neither the number nor another one says anything."""
        root = trees.msmt17(tmp_path / "msmt")
        for seed, path in enumerate(sorted(root.rglob("*.jpg"))):
            trees.write_picture(path, seed)
        train, test = root / trees.MSMT17_LISTS["train"][0], root / trees.MSMT17_LISTS["query"][0]
        first, second = (f.joinpath(trees.MSMT17_LISTS[s][1][1].split()[0]) for f, s in ((train, "train"), (test, "query")))
        assert reidclip("datasets", "verify", root, "--no-counts", "--strict", "--json").json["pictures"]["duplicates"] == []
        second.write_bytes(first.read_bytes())
        (group,) = reidclip("datasets", "verify", root, "--no-counts", "--json", code=1).json["pictures"]["duplicates"]
        assert group["kind"] == "train-test"

    def test_those_of_the_release_itself_are_a_warning(self, small: Path, reidclip: CommandLine) -> None:
        (small / OTHER).write_bytes((small / A1).read_bytes())
        report = reidclip("datasets", "verify", small, "--json").json
        assert one(findings(report, "warning", "duplicates"))["text"].startswith("Groups of equal files under different identities: 1.")

    def test_empty_files_are_not_alike(self, small: Path, reidclip: CommandLine) -> None:
        for name in (A1, OTHER):
            (small / name).write_bytes(b"")
        assert reidclip("datasets", "verify", small, "--json", code=1).json["pictures"]["duplicates"] == []


# ------------------------------------------------------------------------------------------------------------- labels
def own(root: Path, *rows: tuple[object, ...]) -> Path:
    """A folder data set with these rows and a different picture for each."""
    trees.write_pictures(root, (str(row[0]) for row in rows))
    (root / "index.csv").write_text(trees.table(rows))
    return root


class TestLabels:
    def test_protocols_count_valid_queries(self, tmp_path: Path, reidclip: CommandLine) -> None:
        """By hand. q1: g1 (same camera), g2 (other camera, same clothes). q2: g3 (other camera and clothes). q3: nobody."""
        root = own(
            tmp_path / "own",
            ("q1.jpg", 1, 0, 10, "query"),
            ("q2.jpg", 2, 0, 20, "query"),
            ("q3.jpg", 3, 0, 30, "query"),
            ("g1.jpg", 1, 0, 11, "gallery"),
            ("g2.jpg", 1, 1, 10, "gallery"),
            ("g3.jpg", 2, 1, 21, "gallery"),
            ("g4.jpg", -1, 1, "", "gallery"),
        )
        report = reidclip("datasets", "verify", root, "--json").json
        rows = {p["name"]: (p["rule"], p["queries"], p["valid"], p["skipped"], p["gallery"]) for p in report["protocols"]}
        assert rows == {
            "general": ("std", 3, 2, 1, 4),
            "same-clothes": ("sc", 3, 1, 2, 4),
            "cloth-changing": ("cc", 3, 1, 2, 4),
        }
        notes = " ".join(f["text"] for f in findings(report, "note", "labels"))
        assert "No training split" in notes and "nobody known: 1." in notes
        line = next(line for line in reidclip("datasets", "verify", root).out.splitlines() if line.startswith("cloth-changing"))
        assert line.split() == ["cloth-changing", "cc", "3", "1", "2", "4"]

    def test_one_camera_and_no_match(self, tmp_path: Path, reidclip: CommandLine) -> None:
        root = own(tmp_path / "own", ("q.jpg", 1, 0, 1, "query"), ("g.jpg", 1, 0, 1, "gallery"), ("h.jpg", 2, 0, 2, "gallery"))
        report = reidclip("datasets", "verify", root, "--json", code=1).json
        texts = [f["text"] for f in findings(report, "fault", "protocols")]
        assert any("Protocol general: none of the 1 queries has a match. A query needs a picture in another camera" in t for t in texts)
        assert "All test pictures come from one camera" in one(findings(report, "warning", "labels"))["text"]

    def test_one_identity(self, tmp_path: Path, reidclip: CommandLine) -> None:
        rows = [(f"{camera}.jpg", 4, camera, 1, "train") for camera in range(2)]
        report = reidclip("datasets", "verify", own(tmp_path / "own", *rows), "--json").json
        assert (
            "All training pictures are of one identity. Training needs at least two." in one(findings(report, "warning", "labels"))["text"]
        )
        assert "No protocol" in one(findings(report, "warning", "protocols"))["text"]
        reidclip("datasets", "verify", tmp_path / "own", "--strict", code=1)

    def test_unknown_clothes_are_told_before_a_method_refuses_them(self, tmp_path: Path, reidclip: CommandLine) -> None:
        rows = [(f"{n}.jpg", n // 2, n % 2, "", "train") for n in range(4)]
        report = reidclip("datasets", "verify", own(tmp_path / "own", *rows), "--json").json
        assert any("without a clothes label: 4 of 4." in f["text"] for f in findings(report, "note", "labels"))
        assert report["splits"][0]["outfits"] is None


# ------------------------------------------------------------------------------------------------------------- calls
class TestCalls:
    def test_the_report_as_a_file(self, small: Path, tmp_path: Path, reidclip: CommandLine) -> None:
        printed = reidclip("datasets", "verify", small, "--json", "--output", tmp_path / "report.json").json
        assert json.loads((tmp_path / "report.json").read_text()) == printed
        assert "is no place for a file" in reidclip("datasets", "verify", small, "--output", tmp_path / "gone/report.json", code=2).err

    def test_json_keeps_stdout_clean(self, small: Path, reidclip: CommandLine) -> None:
        run = reidclip("datasets", "verify", small, "--json")
        assert set(run.json) == {
            "ok", "strict", "root", "layout", "title", "rendered", "splits", "left_out", "counts", "not_compared", "protocols", "pictures",
            "findings",
        }  # fmt: skip
        assert "18/18" in run.err and reidclip("datasets", "verify", small, "--json", "-q").err == ""

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["nowhere"], "There is no folder nowhere."),
            (["empty"], "No data layout recognises empty."),
            (["small", "--dataset", "prc"], "There is no layout 'prc'"),
        ],
    )
    def test_wrong_calls(self, words: list[str], sentence: str, tmp_path: Path, reidclip: CommandLine) -> None:
        (tmp_path / "empty").mkdir()
        trees.prcc(tmp_path / "small")
        assert sentence in reidclip("datasets", "verify", *words, code=2).err

    def test_two_layouts_recognise_it(self, register: Callable[..., None], tmp_path: Path, reidclip: CommandLine) -> None:
        register(SmallLayout(), PrccLayout())
        trees.prcc(tmp_path / "data")
        assert "Several data layouts recognise data: prcc, small." in reidclip("datasets", "verify", "data", code=2).err

    @pytest.mark.parametrize("seconds", [0.7, 2.0])  # while the processes start, and while they read
    def test_ctrl_c_ends_it_at_once_and_in_one_line(self, seconds: float, tmp_path: Path) -> None:
        root = trees.prcc(tmp_path / "data")
        first = trees.write_picture(root / A1, 0, 1500, 700)
        for n in range(2000, 6000):
            os.link(first, root / f"rgb/train/092/A_cropped_rgb{n}.jpg")
        command = [sys.executable, "-m", "reidclip", "datasets", "verify", str(root), "--workers", "2"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all processes
        start = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, out
        assert out == "" and "Interrupted." in err and "Traceback" not in err
        assert time.monotonic() - start < 30  # all of it takes minutes
