"""`reidclip datasets verify`: every picture is opened; broken, odd and doubled ones are named."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from PIL import Image

from reidclip.stages.verify import verify
from tests import trees
from tests.cli.in_process import CommandLine
from tests.cli.small_layout import GALLERY, OTHER, QUERY, TRAIN, TRAIN_AGAIN, VAL, findings, one


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

    def test_whole_frames_are_notes_and_squares_are_none(self, small: Path, reidclip: CommandLine) -> None:
        frame, limit, square = sorted((small / "rgb/train").rglob("*.jpg"))[:3]
        Image.new("RGB", (1000, 2001), (9, 9, 9)).save(frame)
        Image.new("RGB", (1000, 2000), (9, 9, 8)).save(limit)
        Image.new("RGB", (32, 32), (9, 9, 7)).save(square)
        notes = {f["text"]: f["files"] for f in findings(reidclip("datasets", "verify", small, "--json").json, "note", "pictures")}
        assert notes["Pictures of more than 2 million pixels: 1. Whole frames instead of crops of one person?"] == [
            f"{frame.relative_to(small).as_posix()}: 2001 x 1000"
        ]
        assert not any("wider than tall" in text for text in notes)

    @pytest.mark.parametrize(("height", "told"), [(320, False), (321, True)])
    def test_heights_of_one_release_are_within_ten_times(self, height: int, told: bool, small: Path, reidclip: CommandLine) -> None:
        Image.new("RGB", (16, height), (9, 9, 9)).save(small / TRAIN)  # all others are 32 high
        notes = [f["text"] for f in findings(reidclip("datasets", "verify", small, "--json").json, "note", "pictures")]
        assert any("Sizes differ much" in text for text in notes) is told

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


class TestDuplicates:
    @pytest.mark.parametrize(
        ("first", "second", "kind", "level"),
        [
            (TRAIN, OTHER, "identities", "fault"),
            (TRAIN, QUERY, "identities", "fault"),
            (TRAIN, VAL, "splits", "warning"),
            (GALLERY, QUERY, "splits", "warning"),
            (TRAIN, TRAIN_AGAIN, "split", "note"),
        ],
    )
    def test_kinds(self, first: str, second: str, kind: str, level: str, small: Path, reidclip: CommandLine) -> None:
        (small / second).write_bytes((small / first).read_bytes())
        report = reidclip("datasets", "verify", small, "--no-counts", "--json", code=int(level == "fault")).json
        (group,) = report["pictures"]["duplicates"]
        assert group == {
            "kind": kind,
            "sha256": hashlib.sha256((small / first).read_bytes()).hexdigest(),
            "paths": [p for p in (TRAIN, TRAIN_AGAIN, OTHER, VAL, GALLERY, QUERY) if p in (first, second)],
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
        (small / OTHER).write_bytes((small / TRAIN).read_bytes())
        report = reidclip("datasets", "verify", small, "--json").json
        assert one(findings(report, "warning", "duplicates"))["text"].startswith("Groups of equal files under different identities: 1.")

    def test_empty_files_are_not_alike(self, small: Path, reidclip: CommandLine) -> None:
        for name in (TRAIN, OTHER):
            (small / name).write_bytes(b"")
        assert reidclip("datasets", "verify", small, "--json", code=1).json["pictures"]["duplicates"] == []
