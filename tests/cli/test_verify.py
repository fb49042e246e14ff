"""`reidclip datasets verify`: counts, labels and protocols, and the command itself."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reidclip.data.layouts.prcc import PrccLayout
from reidclip.data.published import count
from tests import trees
from tests.cli.in_process import CommandLine
from tests.cli.small_layout import GOOD_COUNTS, TRAIN, Register, SmallLayout, findings, one
from tests.fakes import hear_interrupts


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
        assert splits[0] == {"split": "train", "identities": 3, "pictures": 9, "outfits": 6, "cameras": 3, "tracklets": None}
        assert [s["split"] for s in splits] == ["train", "val", "test-A", "test-B", "test-C"]

    @pytest.mark.parametrize("mark", ["C", "R", "S", "T"])
    def test_a_wrong_count_fails(self, mark: Any, small: Path, reidclip: CommandLine, register: Register) -> None:
        register(SmallLayout(*GOOD_COUNTS, count("images", 10, mark, "train")))
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

    def test_hearsay_only_warns(self, small: Path, reidclip: CommandLine, register: Register) -> None:
        register(SmallLayout(count("images", 18, "T"), count("identities", 77, "G", "val")))
        run = reidclip("datasets", "verify", small)
        assert "hearsay: 1 of 2 (val: identities: 2 found, 77 published)" in run.out and "1 warning" in run.out
        reidclip("datasets", "verify", small, "--strict", code=1)

    def test_a_part_on_purpose(self, small: Path, reidclip: CommandLine, register: Register) -> None:
        register(SmallLayout(count("images", 33_698, "T")))
        report = reidclip("datasets", "verify", small, "--no-counts", "--json").json
        assert report["ok"] is True and report["counts"] == [] and "--no-counts" in report["not_compared"]

    def test_rendered_sets_are_not_compared(self, small: Path, reidclip: CommandLine, register: Register) -> None:
        register(SmallLayout(count("images", 33_698, "T")))
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

    def test_a_count_that_raises_is_the_plugins_fault(self, small: Path, reidclip: CommandLine, register: Register) -> None:
        register(SmallLayout(dataclasses.replace(GOOD_COUNTS[0], of=lambda dataset: 1 // 0)))
        assert "failed to count 'train: identities': ZeroDivisionError" in reidclip("datasets", "verify", small, code=1).err


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

    @pytest.mark.parametrize(("tree", "gallery"), [(trees.ccvid, "gallery.txt"), (trees.market1501, "bounding_box_test")])
    def test_queries_without_a_gallery_are_a_fault(
        self, tmp_path: Path, reidclip: CommandLine, tree: Callable[[Path], Path], gallery: str
    ) -> None:
        """A list or folder was lost; a copy for training alone lacks the queries too, and is good."""
        root = tree(tmp_path / "data")
        lost = root / gallery
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
        report = reidclip("datasets", "verify", root, "--no-counts", "--json", code=1).json
        assert "no gallery to find them in" in one(findings(report, "fault", "protocols"))["text"]
        queries = root / ("query.txt" if gallery.endswith(".txt") else "query")
        shutil.rmtree(queries) if queries.is_dir() else queries.unlink()
        report = reidclip("datasets", "verify", root, "--no-counts", "--json").json
        assert "No protocol" in one(findings(report, "warning", "protocols"))["text"]

    def test_a_missing_training_half_is_told_once(self, tmp_path: Path, reidclip: CommandLine) -> None:
        root = trees.market1501(tmp_path / "market")
        shutil.rmtree(root / "bounding_box_train")
        out = reidclip("datasets", "verify", root, "--no-counts", "--no-open").out
        assert out.lower().count("no train") == 1 and "No training split" in out

    def test_faults_of_files_are_shortened_in_print_and_whole_in_json(self, tmp_path: Path, reidclip: CommandLine) -> None:
        root = trees.ltcc(tmp_path / "ltcc", [f"train/odd{n}.png" for n in range(7)])
        out = reidclip("datasets", "verify", root, "--no-counts", "--no-open", code=1).out
        assert "fault  Pictures that are not named as in LTCC: 7. Names look like 001_1_c4_015861.png" in out
        assert out.count("train/odd") == 5 and "2 more (--show 7, or --json)" in out and "not good: 1 fault" in out
        report = reidclip("datasets", "verify", root, "--no-counts", "--no-open", "--json", code=1).json
        assert one(findings(report, "fault", "files"))["files"] == [f"train/odd{n}.png" for n in range(7)]
        assert [row["pictures"] for row in report["splits"]] == [8, 2, 5]

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

    def test_two_layouts_recognise_it(self, register: Register, tmp_path: Path, reidclip: CommandLine) -> None:
        register(SmallLayout(), PrccLayout())
        trees.prcc(tmp_path / "data")
        assert "Several data layouts recognise data: prcc, small." in reidclip("datasets", "verify", "data", code=2).err

    @pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells the children of a process")
    @pytest.mark.parametrize("seconds", [0.0, 3.0])
    def test_ctrl_c_ends_it_at_once_and_in_one_line(self, seconds: float, tmp_path: Path) -> None:
        root = trees.prcc(tmp_path / "data")
        first = trees.write_picture(root / TRAIN, 0, 1500, 700)
        for n in range(2000, 6000):
            os.link(first, root / f"rgb/train/092/A_cropped_rgb{n}.jpg")
        command = [sys.executable, "-m", "reidclip", "datasets", "verify", str(root), "--workers", "2"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hear_interrupts
        )
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not children.read_text().split():
            time.sleep(0.01)  # a busy machine takes its time to begin; from then on the processes that read pictures are starting
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all processes
        before = os.times()
        out, err = process.communicate(timeout=600)
        assert process.returncode == 130, out
        assert out == "" and "Interrupted." in err and "Traceback" not in err
        after = os.times()  # of the processor, by all its processes: how busy the machine is does not count
        assert after.children_user - before.children_user < 30, "all of it takes minutes"
