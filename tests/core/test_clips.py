"""Clips of tracklets: against the rules written out slowly, and what must hold for every length."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidclip.data.clips import RandomClip, all_clips, cut, pieces
from reidclip.records import Sample

COUNTS = st.integers(1, 3000)


def slow_clips(n: int) -> list[list[int]]:
    """Test clips of 8 frames, stride 4, frame by frame: "per full block of 32 frames 4 interleaved clips; of the rest r = n mod 32:
    floor(r/8) clips interleaved with stride floor(r/8); the last n mod 8 frames make one clip padded by looping"."""
    frames = list(range(n))
    clips = []
    while len(frames) >= 32:
        block, frames = frames[:32], frames[32:]
        for first in range(4):
            clips.append([block[first + 4 * k] for k in range(8)])
    whole = len(frames) // 8
    block, frames = frames[: 8 * whole], frames[8 * whole :]
    for first in range(whole):
        clips.append([block[first + whole * k] for k in range(8)])
    if frames:
        last: list[int] = []
        while len(last) < 8:
            last.append(frames[len(last) % len(frames)])
        clips.append(last)
    return clips


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestAllClips:
    def test_by_hand(self) -> None:
        assert all_clips(1) == [[0] * 8]
        assert all_clips(3) == [[0, 1, 2, 0, 1, 2, 0, 1]]
        assert all_clips(8) == [[0, 1, 2, 3, 4, 5, 6, 7]]
        assert all_clips(9) == [[0, 1, 2, 3, 4, 5, 6, 7], [8] * 8]
        assert all_clips(31)[:3] == [list(range(first, 24, 3)) for first in range(3)]
        assert all_clips(31)[3] == [24, 25, 26, 27, 28, 29, 30, 24]
        assert all_clips(64)[0] == [0, 4, 8, 12, 16, 20, 24, 28] and all_clips(64)[7] == [35, 39, 43, 47, 51, 55, 59, 63]

    @given(COUNTS)
    def test_as_written_out_slowly(self, n: int) -> None:
        assert all_clips(n) == slow_clips(n)

    @given(COUNTS, st.integers(1, 12), st.integers(1, 6))
    def test_every_frame_occurs_in_ceil_n_over_t_clips(self, n: int, frames: int, stride: int) -> None:
        clips = all_clips(n, frames, stride)
        assert len(clips) == -(-n // frames) and all(len(clip) == frames for clip in clips)
        shown = [frame for clip in clips for frame in clip]
        assert set(shown) == set(range(n))
        assert len(shown) - n < frames  # only the last clip repeats frames

    @given(COUNTS)
    def test_frames_of_a_clip_ascend_but_in_a_padded_last_one(self, n: int) -> None:
        clips = all_clips(n)
        for clip in clips if n % 8 == 0 else clips[:-1]:
            assert len({b - a for a, b in pairwise(clip)}) == 1 and 1 <= clip[1] - clip[0] <= 4


class TestRandomClip:
    @given(st.integers(32, 500), st.integers(0, 2**32))
    def test_long_tracklets_at_the_stride(self, n: int, seed: int) -> None:
        clip = RandomClip()(n, rng(seed))
        assert clip == list(range(clip[0], clip[0] + 32, 4)) and clip[0] >= 0 and clip[-1] < n

    def test_every_start_is_drawn_the_last_one_too(self) -> None:
        generator = rng()
        starts = {RandomClip()(33, generator)[0] for _ in range(200)}
        assert starts == {0, 1, 2, 3, 4}  # 4 + 7 * 4 = 32, the last frame

    @given(st.integers(8, 31), st.integers(0, 2**32))
    def test_one_frame_of_each_of_eight_parts(self, n: int, seed: int) -> None:
        clip = RandomClip()(n, rng(seed))
        assert len(clip) == 8
        size = n // 8  # "len(frames) // 8 * i to len(frames) // 8 * (i + 1)": what is left behind the eighth part is not drawn
        for part, frame in enumerate(clip):
            assert part * size <= frame < (part + 1) * size

    def test_every_frame_of_a_part_is_drawn_and_none_behind_the_parts(self) -> None:
        generator = rng()
        assert {RandomClip()(16, generator)[3] for _ in range(50)} == {6, 7}
        assert {frame for _ in range(100) for frame in RandomClip()(31, generator)} == set(range(24))

    @given(st.integers(1, 7), st.integers(0, 2**32))
    def test_short_tracklets_repeat_frames_in_order(self, n: int, seed: int) -> None:
        clip = RandomClip()(n, rng(seed))
        assert len(clip) == 8 and clip == sorted(clip) and clip[0] >= 0 and clip[-1] < n

    def test_one_frame(self) -> None:
        assert RandomClip()(1, rng()) == [0] * 8
        assert RandomClip(frames=3, stride=1)(1, rng()) == [0] * 3


class TestPieces:
    @pytest.mark.parametrize(("n", "lengths"), [(1, [1]), (63, [63]), (64, [64]), (127, [127]), (128, [64, 64]), (200, [64, 64, 72])])
    def test_by_hand(self, n: int, lengths: list[int]) -> None:
        assert [len(piece) for piece in pieces(n)] == lengths

    @given(COUNTS, st.integers(1, 200))
    def test_no_frame_is_lost_or_comes_twice(self, n: int, size: int) -> None:
        assert [frame for piece in pieces(n, size) for frame in piece] == list(range(n))
        assert len(pieces(n, size)) == max(1, n // size)

    def test_samples_are_cut_in_order(self) -> None:
        tracklet = Sample("a", 1, 0, 2, "train", frames=tuple(f"a/{i}.jpg" for i in range(130)))
        picture = Sample("p.jpg", 1, 0, 2, "train")
        first, second, same = cut([tracklet, picture])
        assert first.frames + second.frames == tracklet.frames and len(first.frames) == 64 and same is picture
        assert {(s.path, s.pid, s.clothes_id) for s in (first, second)} == {("a", 1, 2)}
        assert cut([tracklet, picture], 0) == (tracklet, picture)
