"""`reidclip mask`: label maps -> masks of what is not clothes, artifact kind ``masks``.

Payload: ``keep/<relative path>.png``, 1-bit, 1 = not clothes (M of CCAF eq. (4)), and ``preview.png`` when asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.names import safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.counted import counted, which
from reidclip.data.images import UInt8, read_mask_png, read_picture, write_mask_png
from reidclip.data.join import place_of
from reidclip.data.keep_mask import keep_mask
from reidclip.data.label_sets import Clothes, choose_clothes
from reidclip.data.mask_statistics import MaskStatistics
from reidclip.data.preview import Look, Shown, contact_sheet, spread
from reidclip.data.shielding import WHITE, Colour, colour_of
from reidclip.errors import WorkError
from reidclip.interfaces import ParserSession
from reidclip.records import Dataset
from reidclip.settings import Settings
from reidclip.stages.choose import made_from
from reidclip.stages.label_maps import LabelMaps
from reidclip.stages.pictures import OnError, picture_paths
from reidclip.stages.use_masks import keep_file

PREVIEW = "preview.png"
PREVIEWED = 24  # pictures in the preview
EXTREMES = 3  # of them, pictures with the fewest, and with the most clothes, that the preview adds

Progress = Callable[[int, int], None]


class MaskSettings(Settings):
    """What counts as clothes, and what stands in their place."""

    clothes: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Labels that are clothes, upper or lower case. Default: the label set's own table (`reidclip mask --list-labels`).",
    )
    dilation: int = Field(
        default=0, ge=0, le=64, description="Pixels by which clothes grow; 1 or 2 hides the rim that a coarse parser leaves."
    )
    min_area: int = Field(default=0, ge=0, description="Pieces of clothes with fewer pixels are taken as noise and stay visible.")
    when_all_clothes: Literal["keep-picture", "shield"] = Field(
        default="keep-picture",
        description="A picture of nothing but clothes: leave it as it is, or shield all of it, so that one colour is left.",
    )
    shielding: Annotated[Colour, BeforeValidator(colour_of)] = Field(
        default=WHITE,
        description="Colour in place of clothes: white (eq. 4: 255), black, grey, or r,g,b. Training takes it from the masks.",
    )
    resize: bool = Field(default=False, description="Label maps made elsewhere may be of another size than their pictures.")
    colours: bool = Field(default=False, description="Label maps made elsewhere tell labels by colour (the label set's palette).")


def fitting_parsing(dataset: Dataset, session: ParserSession, parser_settings: Settings, store: Store) -> Artifact | None:
    """The newest parsing of this very data by this parser, weights and settings; None when there is none yet."""
    wanted = parser_settings.model_dump(mode="json")
    return store.newest(
        "parsing",
        lambda m: (
            m.dataset is not None
            and m.dataset.fingerprint == dataset.fingerprint
            and (m.method, m.plugin_version) == (session.name, session.version)
            and all(m.config.get(key) == value for key, value in wanted.items() if key != "batch_size")
        ),
    )


def mask(
    dataset: Dataset,
    parsing: Artifact | Path | LabelMaps,
    store: Store,
    *,
    settings: MaskSettings | None = None,
    name: str | None = None,
    preview: bool = False,
    on_error: OnError = "fail",
    progress: Progress = lambda done, total: None,
) -> Artifact:
    """Make a mask for every picture of a data set.

    Args:
        dataset: pictures; labels are not needed, but they are part of the fingerprint that the masks record.
        parsing: a ``parsing`` artifact of this data, a folder of label maps made elsewhere, or maps already found (see `LabelMaps`).
        store: where the artifact goes.
        settings: which labels are clothes, dilation, smallest area, shielding colour.
        name: artifact name; None makes it from parser (or folder) and data set.
        preview: also write a contact sheet, ``preview.png`` in the artifact.
        on_error: with "skip", pictures without a label map in a folder made elsewhere are left out, and broken ones.
        progress: told (done, total).

    Returns:
        the ``masks`` artifact. Its config tells label set, clothes and shielding colour; its metrics the share of clothes pixels and of
        every label, and count pictures without and with nothing but clothes.

    Raises:
        UserError: a parsing of other data, label maps that are missing, of another size or with unknown labels, unknown clothes labels.
        WorkError: a damaged artifact, a broken picture, a full disk.
    """
    settings = settings or MaskSettings()
    maps = find_maps(dataset, parsing, settings, on_error)
    _require_some(dataset, maps)
    clothes = choose_clothes(maps.label_set, settings.clothes)
    with store.create("masks", name or default_name(maps, dataset)) as draft:
        statistics = _write_masks(draft.path, dataset, maps, clothes, settings, progress)
        _require_some(dataset, maps)
        progress(len(maps.files), len(maps.files))
        if preview:
            _preview(dataset, maps, statistics, settings.shielding, draft.path)
        draft.describe(
            config=_config(settings, clothes, maps),
            method=source_of(maps),
            plugin_version=maps.artifact.manifest.plugin_version if maps.artifact else None,
            dataset=DatasetRef.of(dataset),
            inputs=[InputRef.of(maps.artifact, role="parsing")] if maps.artifact else [],
            metrics={**statistics.metrics(), "skipped": len(maps.missing)},
            notes=[*maps.notes, *statistics.notes(settings.when_all_clothes == "keep-picture"), *_notes(maps)],
        )
    return draft.artifact


def _write_masks(
    folder: Path, dataset: Dataset, maps: LabelMaps, clothes: Clothes, settings: MaskSettings, progress: Progress
) -> MaskStatistics:
    """One file per picture; broken pictures are left out of ``maps`` where it says so."""
    statistics = MaskStatistics(clothes)
    for index, path in enumerate(tuple(maps.files)):
        progress(index, len(maps.files))
        try:
            labels = maps.read(dataset, path)
        except WorkError:
            if maps.on_error == "fail":
                raise
            maps.leave_out(path)
            continue
        keep = keep_mask(labels, clothes.indices, settings.dilation, settings.min_area)
        statistics.add(path, labels, keep)
        if settings.when_all_clothes == "keep-picture" and not keep.any():
            keep = np.ones_like(keep)
        _write(folder / keep_file(path), keep)
    return statistics


def _require_some(dataset: Dataset, maps: LabelMaps) -> None:
    if not maps.files:
        raise WorkError(f"Every picture of {place_of(dataset)} was skipped.", "Check the first one with an image viewer.")


def find_maps(dataset: Dataset, parsing: Artifact | Path | LabelMaps, settings: MaskSettings, on_error: OnError = "fail") -> LabelMaps:
    """The label maps of a parsing or a folder, found but not read; see `LabelMaps` for what they raise."""
    if isinstance(parsing, LabelMaps):
        return parsing
    if isinstance(parsing, Artifact):
        return LabelMaps.of_artifact(made_from(parsing, dataset, "label maps"), picture_paths(dataset))
    return LabelMaps.of_folder(parsing, dataset, on_error=on_error, resize=settings.resize, colours=settings.colours)


def source_of(maps: LabelMaps) -> str | None:
    """Who made the label maps: the parser, or the name of the folder that they came in."""
    return maps.artifact.manifest.method if maps.artifact else maps.folder.resolve().name if maps.folder else None


def default_name(maps: LabelMaps, dataset: Dataset) -> str:
    """``schp-tiny-prcc``: whose label maps, and of what."""
    return safe_name(f"{source_of(maps)}-{dataset.name}")


def _config(settings: MaskSettings, clothes: Clothes, maps: LabelMaps) -> dict[str, Any]:
    """Everything that decides on the masks, resolved."""
    return {
        **settings.model_dump(mode="json"),
        "clothes": list(clothes.names),
        "clothes_indices": list(clothes.indices),
        "clothes_from": "the label set's table" if settings.clothes is None else "the user",
        "label_set": clothes.label_set.name,
        "label_set_from": maps.reason,
        "labels": list(clothes.label_set.labels),
        **maps.record(),
    }


def _notes(maps: LabelMaps) -> list[str]:
    found = []
    if maps.missing:
        one = "the parsing skipped it" if maps.artifact else "it has no label map, or is broken"
        many = "the parsing skipped them" if maps.artifact else "they have no label map, or are broken"
        why = counted(
            len(maps.missing),
            f"picture has no mask, because {one}; trainings that read masks leave it out",
            f"pictures have no mask, because {many}; trainings that read masks leave them out",
        )
        found.append(f"{why}; {which(maps.missing)}.")
    said = {
        "resized": (
            "label map was of another size than its picture and was resized",
            "label maps were of another size than their pictures and were resized",
        ),
        "other_palette": (
            "label map has colours of its own; its numbers were taken as labels",
            "label maps have colours of their own; their numbers were taken as labels",
        ),
        "two_valued": tuple(f"label map{s} 0 and 255: 255 was taken as {maps.label_set.labels[-1]}" for s in (" holds", "s hold")),
    }
    return found + [f"{counted(maps.counts[what], one, many)}." for what, (one, many) in said.items() if maps.counts[what]]


def _preview(dataset: Dataset, maps: LabelMaps, statistics: MaskStatistics, shielding: Colour, folder: Path) -> None:
    """Pictures evenly spread, then those with the fewest and with the most clothes; masks as they were written."""
    paths = list(maps.files)
    marks = {paths[index]: "" for index in spread(len(paths), PREVIEWED - 2 * EXTREMES)}
    if len(paths) > len(marks):  # where all are shown, the shares in the captions tell it
        fewest, most = statistics.extremes(min(EXTREMES, len(paths) // 2))
        marks |= {path: "fewest clothes" for path in fewest} | {path: "most clothes" for path in most}
    marks |= {path: "no clothes left by min_area" for path in marks if path in set(statistics.small)}
    marks |= {path: "no clothes" for path in marks if path in set(statistics.none)}
    marks |= {path: "nothing but clothes" for path in marks if path in set(statistics.all)}
    rows = [
        Shown(
            path,
            read_picture(dataset.file(path)),
            maps.read(dataset, path),
            read_mask_png(folder / keep_file(path)),
            f"{statistics.shares[path]:.0%} clothes" + (f", {mark}" if mark else ""),
            path in {*statistics.none, *statistics.small, *statistics.all},
        )
        for path, mark in marks.items()
    ]
    sheet = contact_sheet(rows, Look(maps.label_set, shielding, statistics.headline()))
    sheet.save(folder / PREVIEW, format="PNG")


def _write(path: Path, keep: UInt8) -> None:
    os.makedirs(path.parent, exist_ok=True)
    write_mask_png(path, keep)
