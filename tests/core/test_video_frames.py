"""Frames of videos: the ones asked for, and errors for what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.errors import WorkError
from reidclip.gallery.video import Video
from tests.videos import FPS, HEIGHT, LEVELS, WIDTH, grey_frames, write_video

KINDS = [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "mp4v")]


@pytest.mark.parametrize(("name", "code"), KINDS)
def test_a_video_tells_its_size_and_gives_the_frames_asked_for(tmp_path: Path, name: str, code: str) -> None:
    video = Video.open(write_video(tmp_path / name, grey_frames(12), code))
    assert (video.height, video.width, video.fps, video.frames) == (HEIGHT, WIDTH, FPS, 12)
    found = dict(video.read([0, 3, 4, 11, 12, 40]))
    assert [round(float(found[number].mean()) / LEVELS) for number in (0, 3, 4, 11)] == [0, 3, 4, 11]  # type: ignore[union-attr]
    assert found[12] is None and found[40] is None
    looked_at = video.at(7)
    assert looked_at is not None and round(float(looked_at.mean()) / LEVELS) == 7


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    frames = grey_frames(2)
    frames[1][:] = (200, 40, 0)
    ((_, frame),) = Video.open(write_video(tmp_path / "a.avi", frames)).read([1])
    assert frame is not None
    assert abs(frame.reshape(-1, 3).mean(0) - (200, 40, 0)).max() < 12  # JPEG's loss


def test_a_video_that_is_cut_off_gives_none_for_frames_behind_the_cut(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", grey_frames(12))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    video = Video.open(path)
    assert video.frames == 12  # as its header says
    found = [frame is not None for _, frame in video.read(range(12))]
    assert found[0] and not found[-1] and found == sorted(found, reverse=True)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no video at all\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nwhole.avi\n#EXT-X-ENDLIST\n",  # a playlist that names another file
        b"ffconcat version 1.0\nfile whole.avi\n",
        bytes(4000),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    write_video(tmp_path / "whole.avi", grey_frames(2))
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WorkError, match=name):
        Video.open(path)


def test_a_name_with_a_pattern_is_that_file_and_no_row_of_pictures(tmp_path: Path) -> None:
    path = write_video(tmp_path / "plain.avi", grey_frames(3)).rename(tmp_path / "a%02d.avi")
    assert Video.open(path).frames == 3
