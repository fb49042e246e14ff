"""The contact sheet of `reidclip mask --preview`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidclip.artifacts.store import Store
from reidclip.data.keep_mask import keep_mask
from reidclip.data.label_sets import ATR, Clothes, choose_clothes
from reidclip.data.mask_statistics import MaskStatistics
from reidclip.data.preview import ALARM, COLUMNS, Look, Shown, contact_sheet, overlay, spread
from tests.cli.red_pictures import call, call_json, write_red


def test_preview_is_a_sheet_inside_the_artifact(data: Path, store: Store, maps: Path) -> None:
    told = call_json(store, "mask", data, "--parsing", maps, "--preview")
    preview = Path(told["preview"])
    assert preview == Path(told["path"]) / "preview.png"
    with Image.open(preview) as sheet:
        assert sheet.mode == "RGB" and sheet.width > sheet.height / 2
    assert store.verify(store.open("maps-people", kind="masks")) == []
    assert str(preview.parent.parent) in call(store, "mask", data, "--parsing", maps, "--preview").stdout.replace("\n", "")


def test_sheet_shows_every_picture_four_times() -> None:
    image = np.full((40, 20, 3), (200, 30, 60), np.uint8)
    labels = np.zeros((40, 20), np.uint8)
    labels[:20] = 5
    sheet = np.asarray(contact_sheet([Shown("x.jpg", image, labels, keep_mask(labels, [5]))] * 5))
    share = (sheet == (200, 30, 60)).all(axis=2).mean() * sheet.shape[0] * sheet.shape[1]
    cell = 192 * 96
    # whole in the original, lower half in labels and shielding, upper half in the clothes image: 2.5 cells each
    assert share == pytest.approx(5 * 2.5 * cell, rel=0.05)
    assert len(COLUMNS) == 4
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


@pytest.mark.parametrize(("count", "length"), [(0, 0), (1, 1), (23, 23), (24, 24), (5000, 24)])
def test_samples_are_spread(count: int, length: int) -> None:
    chosen = spread(count)
    assert len(chosen) == length == len(set(chosen))
    if count > 1:
        assert chosen[0] == 0 and chosen[-1] == count - 1
        assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


@pytest.mark.parametrize("pictures", [2, 3, 6, 8, 13, 24])
@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_sheets_are_no_strips(pictures: int, shape: tuple[int, int]) -> None:
    labels = np.zeros(shape, np.uint8)
    sheet = contact_sheet([Shown("x.jpg", np.zeros((*shape, 3), np.uint8), labels, labels)] * pictures)
    assert 0.7 < sheet.width / sheet.height < 3.2


def test_the_extremes_of_few_pictures_need_no_mark(data: Path, store: Store, maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []

    def drawn(rows: Sequence[Shown], look: Look) -> Image.Image:
        captions[:] = [row.caption for row in rows]
        return contact_sheet(rows, look)

    monkeypatch.setattr("reidclip.stages.mask.contact_sheet", drawn)
    call_json(store, "mask", data, "--parsing", maps, "--preview")
    assert len(captions) == 7 and not [caption for caption in captions if "fewest" in caption or "most" in caption]


def row(caption: str = "", alarm: bool = False, label: int = 5) -> Shown:
    labels = np.zeros((40, 20), np.uint8)
    labels[:20] = label
    return Shown("x.jpg", np.full((40, 20, 3), (200, 30, 60), np.uint8), labels, keep_mask(labels, [label]), caption, alarm)


def count(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


def test_sheet_uses_the_shielding_colour() -> None:
    cell = 192 * 96  # half of the shielding image, and half of the clothes image
    assert count(contact_sheet([row()], Look(shielding=(1, 2, 3))), (1, 2, 3)) == pytest.approx(cell, rel=0.1)  # but for the blurred edge
    assert count(contact_sheet([row()], Look()), (1, 2, 3)) == 0


def test_sheet_has_the_label_sets_names_and_colours() -> None:
    labels = np.array([[17]], np.uint8)
    tint = overlay(np.zeros((1, 1, 3), np.uint8), labels, ATR)[0, 0]
    assert [int(v) for v in tint] == [83, 42, 0]  # 65% of (128, 64, 0), the 18th VOC colour
    atr, lip = contact_sheet([row(label=17)], Look(ATR)), contact_sheet([row(label=17)])
    legend = atr.crop((0, atr.height - 20, atr.width, atr.height)), lip.crop((0, lip.height - 20, lip.width, lip.height))
    assert legend[0].tobytes() != legend[1].tobytes(), "Scarf and Right-leg are not the same word"


def test_alarms_are_red_and_a_headline_makes_room() -> None:
    assert count(contact_sheet([row("0% clothes", alarm=True)]), ALARM) > 500
    assert count(contact_sheet([row("20% clothes")]), ALARM) == 0
    assert contact_sheet([row()], Look(headline="7 pictures " * 30)).height > contact_sheet([row()], Look(headline="7")).height
    assert contact_sheet([row()]).height < contact_sheet([row()], Look(headline="7")).height


def clothes() -> Clothes:
    return choose_clothes(ATR, ["Pants"])


def test_the_worst_cases_are_found() -> None:
    statistics = MaskStatistics(clothes())
    for index, covered in enumerate([3, 9, 1, 7, 5, 1]):
        labels = np.zeros((10, 1), np.uint8)
        labels[:covered] = 6
        statistics.add(f"{index}.jpg", labels, keep_mask(labels, [6]))
    assert statistics.extremes(2) == (["2.jpg", "5.jpg"], ["1.jpg", "3.jpg"])
    assert statistics.extremes(0) == ([], [])


def test_preview_shows_the_worst_of_many(tmp_path: Path, store: Store) -> None:
    """Of 200 pictures one alone shows no clothes, at a place that even spreading misses: its frame is red in the sheet."""
    root, maps = tmp_path / "people", tmp_path / "maps"
    maps.mkdir()
    for index in range(200):
        labels = np.full((8, 4), 13, np.uint8)
        labels[: 0 if index == 101 else 2 + index % 5] = 5
        write_red(root / f"{index:03d}.png", labels)
        Image.fromarray(labels).save(maps / f"{index:03d}.png")
    sheets = []
    for _ in range(2):
        told = call_json(store, "mask", root, "--parsing", maps, "--label-set", "lip", "--preview")
        sheets.append(Path(told["preview"]).read_bytes())
    assert sheets[0] == sheets[1], "the choice of pictures is no chance"
    with Image.open(told["preview"]) as sheet:
        assert count(sheet, ALARM) > 500
