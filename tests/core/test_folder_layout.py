"""The folder layout: a table of a user's own pictures, and every way to get the table wrong."""

import json
from pathlib import Path

import pytest

from reidclip.data.layouts.folder import LAYOUT
from reidclip.errors import UserError
from reidclip.evaluation.protocols import find_protocol
from reidclip.records import Protocol, Rule, Sample
from tests.trees import FOLDER_ROWS, folder, table

HEADER = "path,pid,camid,clothes_id,split"
GOOD = ("a/1.jpg", 7, 0, 70, "train")


def rows(*changed: tuple[object, ...], first: tuple[object, ...] = GOOD) -> str:
    return table([first, *changed])


def test_every_label_and_split_in_order(tmp_path: Path) -> None:
    dataset = LAYOUT.load(folder(tmp_path))
    assert list(dataset.samples) == [Sample(*row) for row in FOLDER_ROWS]  # the rows are in the order of the contract
    assert dataset.notes == ()


def test_samples_are_ordered_by_split_then_path(tmp_path: Path) -> None:
    shuffled = [FOLDER_ROWS[i] for i in (6, 1, 3, 0, 5, 2, 4)]
    assert list(LAYOUT.load(folder(tmp_path, table(shuffled))).samples) == [Sample(*row) for row in FOLDER_ROWS]


def test_protocols(tmp_path: Path) -> None:
    protocols = LAYOUT.load(folder(tmp_path)).protocols
    assert [(p.name, p.rule, p.query, p.gallery) for p in protocols] == [
        ("general", Rule.STD, "query", "gallery"),
        ("same-clothes", Rule.SC, "query", "gallery"),
        ("cloth-changing", Rule.CC, "query", "gallery"),
    ]
    assert all(isinstance(p, Protocol) and p.note for p in protocols)


@pytest.mark.parametrize("unknown", ["", "-1"])
def test_unknown_clothes_leave_the_general_protocol(tmp_path: Path, unknown: str) -> None:
    text = table([*FOLDER_ROWS[:3], ("b/1.jpg", 1, 0, unknown, "query"), *FOLDER_ROWS[4:]])
    dataset = LAYOUT.load(folder(tmp_path, text))
    assert [p.name for p in dataset.protocols] == ["general"]
    assert dataset.split("query")[0].clothes_id == -1
    (note,) = dataset.notes
    assert note.startswith("No protocol same-clothes or cloth-changing: ")
    assert "1 is unknown (first: index.csv line 5)" in note
    with pytest.raises(UserError) as caught:
        find_protocol(dataset, "cloth-changing")
    assert "Known: general." in caught.value.remedy and note in caught.value.remedy


def test_the_first_line_with_unknown_clothes_is_that_of_the_table(tmp_path: Path) -> None:
    # Samples are sorted with queries first; the table is not.
    query, gallery = ("b/1.jpg", 1, 0, "", "query"), ("./b/3.jpg", 1, 1, "-1", "gallery")
    dataset = LAYOUT.load(folder(tmp_path, table([FOLDER_ROWS[4], gallery, *FOLDER_ROWS[:3], query, FOLDER_ROWS[6]])))
    assert "2 are unknown (first: index.csv line 3)" in dataset.notes[0]


def test_training_data_alone_has_no_protocols(tmp_path: Path) -> None:
    assert LAYOUT.load(folder(tmp_path, table(FOLDER_ROWS[:3]))).protocols == ()


@pytest.mark.parametrize("pid", [-1, 5])
def test_people_without_a_query_need_no_clothes(tmp_path: Path, pid: int) -> None:
    text = table([*FOLDER_ROWS[:6], ("b/4.jpg", pid, 1, "", "gallery")])
    dataset = LAYOUT.load(folder(tmp_path, text))
    assert [p.name for p in dataset.protocols] == ["general", "same-clothes", "cloth-changing"]


def test_optional_columns(tmp_path: Path) -> None:
    text = table([(*GOOD, "shop", 3), ("a/2.jpg", 9, 5, 90, "train", "", "")], HEADER + ",domain,camera")
    samples = LAYOUT.load(folder(tmp_path, text)).samples
    assert samples == (Sample(*GOOD, domain="shop", camera=3), Sample("a/2.jpg", 9, 5, 90, "train"))


def test_jsonl_and_other_columns(tmp_path: Path) -> None:
    records = [dict(zip(HEADER.split(","), row, strict=True), extra=[1, 2]) for row in FOLDER_ROWS]
    records[0]["clothes_id"] = None
    text = "\n\n".join(json.dumps(r) for r in records)
    samples = LAYOUT.load(folder(tmp_path, text, "index.jsonl")).samples
    assert samples[0] == Sample("a/1.jpg", 7, 0, -1, "train")
    assert list(samples[1:]) == [Sample(*row) for row in FOLDER_ROWS[1:]]


def test_a_spreadsheet_export(tmp_path: Path) -> None:
    text = "\ufeff" + rows(("a/2.jpg", "9.0", " 1 ", "90.0", "train"), ("", "", "", "", "")).replace("\n", "\r\n")
    assert LAYOUT.load(folder(tmp_path, text)).samples[1] == Sample("a/2.jpg", 9, 1, 90, "train")


def test_names_are_numbered_in_sorted_order(tmp_path: Path) -> None:
    text = table(
        [("a/1.jpg", "zoe", "yard", "red", "train"), ("a/2.jpg", "adam", "door", "blue", "train"), ("a/3.jpg", "zoe", "yard", "", "val")]
    )
    dataset = LAYOUT.load(folder(tmp_path, text))
    assert [(s.pid, s.camid, s.clothes_id) for s in dataset.samples] == [(1, 1, 1), (0, 0, 0), (1, 1, -1)]
    assert [note.split()[1] for note in dataset.notes] == ["pid", "camid", "clothes_id"]


def test_outfits_numbered_per_person_become_classes_of_their_own(tmp_path: Path) -> None:
    text = table(
        [("a/1.jpg", 7, 0, 2, "train"), ("a/2.jpg", 9, 0, 1, "train"), ("a/3.jpg", 7, 0, 1, "train"), ("b/1.jpg", 9, 1, 1, "train")]
    )
    dataset = LAYOUT.load(folder(tmp_path, text))
    # pairs in order: (7, 1) -> 0, (7, 2) -> 1, (9, 1) -> 2
    assert {s.path: s.clothes_id for s in dataset.samples} == {"a/1.jpg": 1, "a/2.jpg": 2, "a/3.jpg": 0, "b/1.jpg": 2}
    assert "share" in dataset.notes[0]


def test_identities_on_both_sides_are_noted(tmp_path: Path) -> None:
    text = table([GOOD, ("b/1.jpg", 7, 1, 70, "query"), ("b/2.jpg", 7, 0, 70, "gallery")])
    assert "1 identities" in LAYOUT.load(folder(tmp_path, text)).notes[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,pid,camid,split\na/1.jpg,7,0,train\n", ["no column clothes_id", "path, pid, camid, split"]),
        ("PATH;pid\n", ["lists no pictures"]),
        ("", ["lists no pictures"]),
        (HEADER + "\n", ["lists no pictures"]),
        (HEADER + ",pid\n", ["line 1", "'pid' comes twice"]),
        (rows(("a/2.jpg", 9, 1, 90, "test")), ["line 3", "column split", "'test'"]),
        (rows(("a/2.jpg", 9, 1, 90, "")), ["line 3", "column split"]),
        (rows(("a/1.jpg", 9, 1, 90, "train")), ["line 3", "column path", "line 2"]),
        (rows(("b/../a/./1.jpg", 9, 1, 90, "train")), ["line 3", "column path", "line 2"]),
        (rows(("../x.jpg", 9, 1, 90, "train")), ["line 3", "column path", "outside"]),
        (rows(("a/../../x.jpg", 9, 1, 90, "train")), ["line 3", "column path", "outside"]),
        (rows(("/etc/passwd", 9, 1, 90, "train")), ["line 3", "column path", "outside"]),
        (rows(("C:/x.jpg", 9, 1, 90, "train")), ["line 3", "column path", "Windows"]),
        (rows(("a\\2.jpg", 9, 1, 90, "train")), ["line 3", "column path", "Windows"]),
        (rows(("a", 9, 1, 90, "train")), ["line 3", "column path", "no file"]),
        (rows(("gone.jpg", 9, 1, 90, "train"), ("gone2.jpg", 9, 1, 90, "train")), ["line 3", "column path", "gone.jpg", "1 more fault"]),
        (rows(("", 9, 1, 90, "train")), ["line 3", "column path", "empty"]),
        (rows(("a/2.jpg", "x9", 1, 90, "train")), ["line 3", "column pid", "'x9'"]),
        (rows(("a/2.jpg", "", 1, 90, "train")), ["line 3", "column pid", "empty"]),
        (rows(("a/2.jpg", -2, 1, 90, "train")), ["line 3", "column pid", "negative"]),
        (rows(("a/2.jpg", -1, 1, 90, "query")), ["line 3", "column pid", "nobody"]),
        (rows(("a/2.jpg", 9, 1.5, 90, "train")), ["line 3", "column camid", "'1.5'"]),
        (rows(("a/2.jpg", 9, "", 90, "train")), ["line 3", "column camid", "empty"]),
        (rows(("a/2.jpg", 9, -1, 90, "train")), ["line 3", "column camid", "negative"]),
        (rows(("a/2.jpg", 9, 1, "red", "train")), ["line 3", "column clothes_id", "'red'"]),
        (rows(("a/2.jpg", 9, 1, 90)), ["line 3", "4 cells", "5 columns"]),
        (rows(("a/2.jpg", 9, 1, 90, "train", "x")), ["line 3", "6 cells"]),
        (rows(('"a/2.jpg', 9, 1, 90, "train")), ["line 3"]),
    ],
)
def test_faults_of_a_csv_name_line_and_column(tmp_path: Path, text: str, told: list[str]) -> None:
    root = folder(tmp_path, text)
    with pytest.raises(UserError) as caught:
        LAYOUT.load(root)
    assert str(root / "index.csv") in caught.value.what and caught.value.remedy
    assert [part for part in told if part not in caught.value.what] == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{not json", ["line 2", "not valid JSON"]),
        ("[1, 2]", ["line 2", "not a JSON object"]),
        ('{"path": "a/2.jpg", "pid": 9, "camid": 1, "split": "train"}', ["line 2", "column clothes_id", "missing"]),
        ('{"path": "a/2.jpg", "pid": true, "camid": 1, "clothes_id": 2, "split": "train"}', ["line 2", "column pid", "'true'"]),
    ],
)
def test_faults_of_a_jsonl_name_the_line(tmp_path: Path, line: str, told: list[str]) -> None:
    good = json.dumps(dict(zip(HEADER.split(","), GOOD, strict=True)))
    with pytest.raises(UserError) as caught:
        LAYOUT.load(folder(tmp_path, f"{good}\n{line}\n", "index.jsonl"))
    assert [part for part in told if part not in caught.value.what] == []


def test_not_utf8(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "index.csv").write_bytes((HEADER + "\nm\xfcller.jpg,1,1,1,train\n").encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        LAYOUT.load(root)


def test_a_table_of_another_name(tmp_path: Path) -> None:
    root = folder(tmp_path, name="people.csv")
    (root / "captions.csv").write_text("path,caption\na/1.jpg,hello\n")
    assert LAYOUT.recognises(root)
    assert len(LAYOUT.load(root).samples) == len(FOLDER_ROWS)
    (root / "more.csv").write_text(table(FOLDER_ROWS))
    with pytest.raises(UserError, match=r"more\.csv, people\.csv"):
        LAYOUT.load(root)


def test_the_only_table_without_the_columns_is_told(tmp_path: Path) -> None:
    root = folder(tmp_path, "path,pid\na/1.jpg,1\n", name="people.csv")
    assert not LAYOUT.recognises(root)
    with pytest.raises(UserError, match=r"people\.csv has no column camid, clothes_id, split"):
        LAYOUT.load(root)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'"unclosed', b"{}", b"[1]"])
def test_odd_files_are_not_recognised(tmp_path: Path, content: bytes) -> None:
    for name in ("x.csv", "x.jsonl"):
        (tmp_path / name).write_bytes(content)
    assert not LAYOUT.recognises(tmp_path)
