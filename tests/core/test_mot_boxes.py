"""MOT texts and the pixels of their boxes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidclip.errors import UserError
from reidclip.gallery.boxes import chosen_boxes, pixels
from reidclip.gallery.frames import of_frames
from reidclip.gallery.mot import Detection, read_mot
from reidclip.gallery.reading import Clock, Reading
from tests.trees import write_picture


def written(folder: Path, *lines: str) -> Path:
    path = folder / "boxes.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_boxes_come_by_frame_and_track_with_frames_from_zero(tmp_path: Path) -> None:
    found, notes = read_mot(written(tmp_path, "2,5,1.5,2,3,4,0.5,-1,-1,-1", "", "1,7,0,0,9,9", " 2 , 3 , 1 , 1 , 5 , 5 , 1 "))
    assert found == [
        Detection(3, 0, 7, 0, 0, 9, 9, 1.0),
        Detection(4, 1, 3, 1, 1, 5, 5, 1.0),
        Detection(1, 1, 5, 1.5, 2, 3, 4, 0.5),
    ]
    assert notes == []


def test_columns_may_be_apart_by_spaces_and_detections_have_no_track(tmp_path: Path) -> None:
    found, _ = read_mot(written(tmp_path, "1 -1 10 20 30 40 0.25"))
    assert found == [Detection(1, 0, -1, 10, 20, 30, 40, 0.25)]


def test_of_ground_truth_only_pedestrians_that_count_are_taken(tmp_path: Path) -> None:
    found, notes = read_mot(written(tmp_path, "1,1,0,0,9,9,1,1,0.8", "1,2,0,0,9,9,0,1,0.8", "1,3,0,0,9,9,1,7,0.8"))
    assert [d.track for d in found] == [1]
    assert len(notes) == 1 and "2 boxes" in notes[0]


def test_nine_columns_without_a_class_are_a_trackers(tmp_path: Path) -> None:
    found, notes = read_mot(written(tmp_path, "1,1,10,10,40,80,0.9,-1,-1"))
    assert found == [Detection(1, 0, 1, 10, 10, 40, 80, 0.9)] and not notes


def test_how_many_were_left_out_is_told_where_none_is_left(tmp_path: Path) -> None:
    path = written(tmp_path, "1,1,0,0,9,9,1,7,0.8", "1,2,0,0,9,9,0,1,0.8", "nonsense")
    with pytest.raises(UserError, match=r"holds no boxes: 2 boxes of ground truth left out.*1 bad line left out, the first is line 3"):
        read_mot(path, "skip")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1,2,3", "3 columns"),
        ("frame,id,left,top,width,height", "does not hold numbers"),
        ("0,1,0,0,9,9", "frame 0 is not a whole number from 1"),
        ("1.5,1,0,0,9,9", "frame 1.5"),
        ("1,1.5,0,0,9,9", "id 1.5"),
        ("1,1,nan,0,9,9", "not finite"),
        ("1,1,0,0,inf,9", "not finite"),
        ("1,1,0,0,0,9", "empty"),
        ("1,1,0,0,9,-2", "empty"),
        ("1,1,1e300,0,9,9", "absurdly large"),
        ("1e300,1,0,0,9,9", "absurdly large"),
    ],
)
def test_a_bad_line_is_named_or_left_out(tmp_path: Path, line: str, says: str) -> None:
    path = written(tmp_path, "1,1,0,0,9,9", line)
    with pytest.raises(UserError, match="line 2") as error:
        read_mot(path)
    assert says in error.value.what and path.name in error.value.what
    found, notes = read_mot(path, "skip")
    assert len(found) == 1
    assert len(notes) == 1 and "1 bad line" in notes[0] and "line 2" in notes[0]


def test_a_file_without_boxes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no boxes"):
        read_mot(written(tmp_path, ""))
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="not a text"):
        read_mot(tmp_path / "binary.txt")


@pytest.mark.parametrize(("begin", "told"), [(0, 1), (1, 0)])
def test_frames_that_begin_with_0_are_those_of_the_text_from_1(tmp_path: Path, begin: int, told: int) -> None:
    for number in range(3):
        write_picture(tmp_path / "frames" / f"{number + begin:06d}.png", seed=number)
    mot, notes = written(tmp_path, "1,1,0,0,9,9", "3,1,0,0,9,9"), list[str]()
    source = of_frames(tmp_path / "frames", mot, Clock(), Reading(min_size=1), notes, lambda text: None)
    assert [Path(item.path).name for item in source.items] == [f"{begin:06d}.png", f"{begin + 2:06d}.png"]
    assert len(notes) == told and all("000000.png" in note for note in notes)


# ------------------------------------------------------------------------------------------------------------------ pixels
side = st.floats(-300, 300)
length = st.floats(0.01, 400)


@settings(max_examples=60, deadline=None)
@given(side, side, length, length, st.floats(0, 1), st.integers(1, 200), st.integers(1, 200))
def test_pixels_are_inside_the_frame_and_near_the_box(
    left: float, top: float, width: float, height: float, padding: float, rows: int, columns: int
) -> None:
    box = pixels(Detection(1, 0, 1, left, top, width, height), padding, (rows, columns))
    first, last = left - padding * width, left + (1 + padding) * width
    if box is None:
        outside = last < 0.5 or first >= columns - 0.5 or top + (1 + padding) * height < 0.5 or top - padding * height >= rows - 0.5
        assert outside or (1 + 2 * padding) * min(width, height) < 1
        return
    x, y, w, h = box
    assert w > 0 and h > 0 and x >= 0 and y >= 0 and x + w <= columns and y + h <= rows
    assert abs(x - min(max(first, 0), columns)) <= 0.5 + 1e-6
    assert abs(x + w - min(max(last, 0), columns)) <= 0.5 + 1e-6


def test_padding_is_added_at_each_side() -> None:
    assert pixels(Detection(1, 0, 1, 20, 30, 10, 20), 0.1, (100, 100)) == (19, 28, 12, 24)


def test_what_is_left_out_is_told() -> None:
    boxes = [
        Detection(1, 0, 1, 0, 0, 20, 40, 0.9),
        Detection(2, 0, 2, 0, 0, 20, 40, 0.1),  # unsure
        Detection(3, 0, 3, 500, 0, 20, 40, 0.9),  # outside
        Detection(4, 0, 4, 0, 0, 5, 40, 0.9),  # narrow
        Detection(5, 0, 5, 96, 0, 40, 40, 0.9),  # narrow, once it is clipped
        Detection(6, 0, 1, 0, 0, 20, 40, 0.9),  # the first again
        Detection(7, 1, 1, 0, 0, 20, 40, 0.9),  # in a frame that is not taken
        Detection(8, 2, 1, 0, 0, 20, 40, 0.9),
    ]
    found, notes = chosen_boxes(boxes, Reading(every=2, min_confidence=0.5), (100, 100))
    assert [d.line for d, _ in found] == [1, 8]
    told = " ".join(notes)
    for words in (
        "below a confidence of 0.5",
        "1 box left out, outside the frame",
        "2 boxes left out, smaller than 10 pixels",
        "told twice",
    ):
        assert words in told
