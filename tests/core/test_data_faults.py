"""Layouts name all faults of a data set at once, and still give what could be read; names may be in any case after the dot."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from reidclip import registry
from reidclip.data.faults import DataFaultsError
from reidclip.data.open import GROUP, open_dataset
from reidclip.errors import UserError
from reidclip.records import Sample
from reidclip.stages.verify import verify
from tests import trees

BUILD: dict[str, Callable[[Path], Path]] = {
    "prcc": trees.prcc,
    "ltcc": trees.ltcc,
    "vcclothes": trees.vcclothes,
    "market1501": trees.market1501,
    "msmt17": trees.msmt17,
}

# What is done to the small trees: (old name, wrong name) renamed, with the number of faults of each heading.
WRONG = {
    "prcc": (
        [
            ("rgb/train/092/A_cropped_rgb001.jpg", "rgb/train/092/D_cropped_rgb001.jpg"),
            ("rgb/test/C/300/cropped_rgb001.jpg", "rgb/test/C/300/x.jpg"),
            ("rgb/val/101", "rgb/val/person"),
        ],
        {"Pictures that are not named as in PRCC": 2, "Folders that are not named like a PRCC identity": 1},
    ),
    "ltcc": (
        [
            ("train/000_1_c1_000010.png", "train/000_1_000010.png"),
            ("test/151_1_c1_000114.png", "test/151_1_c13_000114.png"),
            ("query/005_1_c1_000100.png", "query/005_1_c0_000100.png"),
        ],
        {"Pictures that are not named as in LTCC": 1, "Pictures of cameras that LTCC does not have": 2},
    ),
    "vcclothes": (
        [("train/0001-01-01-01.jpg", "train/0001-01-01.jpg"), ("gallery/0300-03-01-02.jpg", "gallery/0300-05-01-02.jpg")],
        {"Pictures that are not named as in VC-Clothes": 1, "Pictures of cameras that VC-Clothes does not have": 1},
    ),
    "market1501": (
        [
            ("query/0001_c1s1_001051_00.jpg", "query/0001_c7s1_001051_00.jpg"),
            ("bounding_box_train/0002_c1s1_000451_03.jpg", "bounding_box_train/2_c1s1_000451_03.jpg"),
        ],
        {"Pictures that are not named as in Market-1501": 1, "Pictures of cameras that Market-1501 does not have": 1},
    ),
}


def faults_of(root: Path) -> DataFaultsError:
    with pytest.raises(DataFaultsError) as caught:
        open_dataset(root)
    return caught.value


def unlabelled(samples: tuple[Sample, ...]) -> set[tuple[str, int, int, str]]:
    """Without clothes labels, which are ranks and so hang on all pictures."""
    return {(s.path, s.pid, s.camid, s.split) for s in samples}


@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_name_is_told_at_once_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    root = BUILD[name](tmp_path / name)
    whole = unlabelled(open_dataset(root).samples)
    renamed, headings = WRONG[name]
    for old, new in renamed:
        (root / old).rename(root / new)

    error = faults_of(root)
    assert Counter(f.kind for f in error.faults) == headings
    assert {f.file for f in error.faults} == {new for _, new in renamed}
    assert f"(and {len(renamed) - 1} more fault" in error.what and f"datasets verify {root}" in error.remedy
    assert unlabelled(error.rest.samples) == {s for s in whole if not any(s[0].startswith(old) for old, _ in renamed)}

    report = verify(root, counts=False)
    told = [(f.text.split(":")[0], file) for f in report.findings if f.check == "files" for file in f.files]
    assert Counter(kind for kind, _ in told) == headings and sorted(file for _, file in told) == sorted(new for _, new in renamed)
    assert not report.passed() and report.pictures is not None
    assert report.pictures.opened == sum(row.pictures for row in report.splits) == len(error.rest.samples)


def test_one_fault_alone_counts_no_others(tmp_path: Path) -> None:
    root = trees.ltcc(tmp_path, ["train/a.png"])
    error = faults_of(root)
    assert error.what == f"{root / 'train/a.png'} is not named as in LTCC." and "verify" not in error.remedy


def test_nothing_but_faults_is_still_a_report(tmp_path: Path) -> None:
    root = trees.write_pictures(tmp_path, ["train/a.png", "test/b.png"])
    report = verify(root, "ltcc")
    assert not report.passed() and report.splits == () and report.pictures is not None and report.pictures.opened == 0
    assert [f.files for f in report.findings if f.check == "files"] == [("train/a.png", "test/b.png")]


class TestMsmt17:
    def test_faults_of_all_lists_and_all_kinds(self, tmp_path: Path) -> None:
        root = trees.msmt17(tmp_path)
        first, second, *_ = trees.MSMT17_LISTS["gallery"][1]
        (root / "test" / first.split()[0]).unlink()
        shutil.rmtree(root / "train" / "0002")
        odd = f"{second}\nnonsense\n0000/odd.jpg 0\n"
        trees.write_picture(root / "test/0000/odd.jpg")
        (root / "list_gallery.txt").write_text((root / "list_gallery.txt").read_text() + odd)
        (root / "list_val.txt").write_bytes(b"\xff\xfe\x00")

        report = verify(root, counts=False)
        told = {f.text.split(":")[0]: f.files for f in report.findings if f.check == "files"}
        assert sorted(told) == [
            "Lines of lists that do not fit",
            "Listed pictures that are missing",
            "Listed pictures that are not named as in MSMT17",
            "Lists that cannot be read",
        ]
        assert [file.split(": ")[0] for file in told["Listed pictures that are missing"]] == [
            "list_train.txt, line 3",
            "list_train.txt, line 4",
            "list_gallery.txt, line 1",
        ]
        assert len(told["Lines of lists that do not fit"]) == 2
        assert {row.split: row.pictures for row in report.splits} == {"train": 2, "query": 2, "gallery": 2}

    def test_lists_and_files_may_differ_in_the_case_of_the_extension(self, tmp_path: Path) -> None:
        root = trees.msmt17(tmp_path)
        given = root / "test" / trees.MSMT17_LISTS["query"][1][0].split()[0]
        given.rename(given.with_suffix(".JPG"))
        assert open_dataset(root).split("query")[0].path == given.with_suffix(".JPG").relative_to(root).as_posix()

    def test_a_label_against_the_folder_is_used_and_warned_of(self, tmp_path: Path) -> None:
        root = trees.msmt17(tmp_path)
        lines = (root / "list_val.txt").read_text().split()
        (root / "list_val.txt").write_text(f"{lines[0]} 2\n")
        report = verify(root, counts=False, open_pictures=False)
        assert report.passed() and not report.passed(strict=True)
        (warning,) = (f.text for f in report.findings if f.level == "warning")
        assert warning.startswith("Doubtful labels: 1 line gives ") and f"; it is list_val.txt, line 1: {lines[0]} 2." in warning
        assert open_dataset(root).split("val")[0].pid == 2

    def test_a_folder_without_lists_says_which_are_missing(self, tmp_path: Path) -> None:
        root = trees.msmt17(tmp_path / "data" / "MSMT17_V1")
        for path in root.glob("*.txt"):
            path.unlink()
        (root / "train" / "0000").rename(root / "train" / "0001")
        (root / "train" / "0000").mkdir()  # not unpacked
        for given in (root, root.parent):
            with pytest.raises(UserError) as caught:
                open_dataset(given)
            assert caught.value.remedy.startswith(f"msmt17: {root} has pictures named as MSMT17's, but list_train.txt, ")
            assert "Known layouts" not in caught.value.remedy

    @pytest.mark.parametrize("name", ["prcc", "ltcc", "vcclothes", "market1501"])
    def test_other_trees_are_no_near_misses(self, tmp_path: Path, name: str) -> None:
        assert registry.get(GROUP, "msmt17").near_miss(BUILD[name](tmp_path)) == ""


@pytest.mark.parametrize("name", [name for name in BUILD if name != "msmt17"])
def test_extensions_in_any_case(tmp_path: Path, name: str) -> None:
    root = BUILD[name](tmp_path)
    before = open_dataset(root)
    for path in [p for p in root.rglob("*") if p.is_file()]:
        path.rename(path.with_suffix(path.suffix.upper()))
    after = open_dataset(root)
    assert [Path(s.path).suffix for s in after.samples] == [Path(s.path).suffix.upper() for s in before.samples]
    assert [(Path(s.path).stem, s.pid, s.camid, s.clothes_id, s.split) for s in after.samples] == [
        (Path(s.path).stem, s.pid, s.camid, s.clothes_id, s.split) for s in before.samples
    ]


def test_missing_files_of_a_table(tmp_path: Path) -> None:
    root = trees.folder(tmp_path)
    for name in ("a/2.jpg", "b/4.jpg"):
        (root / name).unlink()
    report = verify(root)
    (finding,) = (f for f in report.findings if f.check == "files")
    assert finding.level == "fault" and finding.files == ("index.csv, line 3: a/2.jpg", "index.csv, line 8: b/4.jpg")
    assert sum(row.pictures for row in report.splits) == len(trees.FOLDER_ROWS) - 2


@pytest.mark.parametrize("name", BUILD)
def test_messages_name_files_by_their_whole_paths(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = BUILD[name](tmp_path / "data")
    if name == "msmt17":
        shutil.rmtree(root / "train" / "0000")
    else:
        picture = next(p for p in sorted(root.rglob("*")) if p.is_file())
        picture.rename(picture.with_name(f"x{picture.suffix}"))
    monkeypatch.chdir(tmp_path)
    error = faults_of(Path("data"))
    for fault in error.faults:
        assert str(root) in fault.what and " data/" not in fault.what


def test_verify_of_many_with_hundreds_missing_is_fast(tmp_path: Path) -> None:
    """34,000 lines: a walk that asked for each file, or looked through a list for each fault, would take far longer."""
    people, each = 340, 100
    lines = [f"{p:04d}/{p:04d}_{n:03d}_01_0303morning_0015_0.jpg {p}" for p in range(people) for n in range(each)]
    (tmp_path / "list_train.txt").write_text("\n".join(lines))
    for p in range(people):
        (tmp_path / "train" / f"{p:04d}").mkdir(parents=True)
    for line in lines[300:]:
        (tmp_path / "train" / line.split()[0]).touch()
    start = time.process_time()  # the processor's: a busy machine is no fault
    report = verify(tmp_path, open_pictures=False)
    seconds = time.process_time() - start
    (finding,) = (f for f in report.findings if f.check == "files")
    assert len(finding.files) == 300 and report.splits[0].pictures == 33_700
    assert seconds < 8
