"""`reidclip mask`: label maps -> masks of what is not clothes, artifact kind ``masks``.

Payload: ``keep/<relative path>.png``, 1-bit, 1 = not clothes (M of CCAF eq. (4)), and ``preview.png`` when asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.names import safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.files import mirrored
from reidclip.data.images import UInt8, read_picture, write_mask_png
from reidclip.data.keep_mask import keep_mask
from reidclip.data.preview import Shown, contact_sheet, spread
from reidclip.errors import UserError, WorkError, nearest
from reidclip.interfaces import ParserSession
from reidclip.records import Dataset
from reidclip.settings import Settings
from reidclip.stages.choose import made_from
from reidclip.stages.label_maps import LabelMaps
from reidclip.stages.pictures import picture_paths

KEEP = "keep"
PREVIEW = "preview.png"

Progress = Callable[[int, int], None]


class MaskSettings(Settings):
    """What counts as clothes."""

    clothes: tuple[str, ...] = Field(
        default=("Upper-clothes", "Dress", "Coat", "Socks", "Pants", "Jumpsuits", "Scarf", "Skirt", "Glove"),
        min_length=1,
        description="Labels that are clothes, upper or lower case. Hats and shoes are not among them (CCAF, section 3).",
    )
    dilation: int = Field(
        default=0, ge=0, le=64, description="Pixels by which clothes grow; 1 or 2 hides the rim that a coarse parser leaves."
    )
    min_area: int = Field(default=0, ge=0, description="Pieces of clothes with fewer pixels are taken as noise and stay visible.")


def keep_file(path: str) -> str:
    """Payload path of the mask of a picture (relative path)."""
    return f"{KEEP}/{mirrored(path)}"


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
    parsing: Artifact | Path,
    store: Store,
    *,
    settings: MaskSettings | None = None,
    name: str | None = None,
    preview: bool = False,
    progress: Progress = lambda done, total: None,
) -> Artifact:
    """Make a mask for every picture of a data set.

    Args:
        dataset: pictures; labels are not needed, but they are part of the fingerprint that the masks record.
        parsing: a ``parsing`` artifact of this data, or a folder of label maps made elsewhere (see `LabelMaps.of_folder`).
        store: where the artifact goes.
        settings: which labels are clothes, dilation, smallest area.
        name: artifact name; None makes it from parser (or folder) and data set.
        preview: also write a contact sheet, ``preview.png`` in the artifact.
        progress: told (done, total).

    Returns:
        the ``masks`` artifact; its metrics tell the mean share of clothes pixels and count pictures without and with nothing but clothes.

    Raises:
        UserError: a parsing of other data, label maps that are missing, of another size or with unknown labels, unknown clothes labels.
        WorkError: a damaged artifact, a broken picture, a full disk.
    """
    settings = settings or MaskSettings()
    paths = picture_paths(dataset)
    if isinstance(parsing, Artifact):
        maps = LabelMaps.of_artifact(made_from(parsing, dataset, "label maps"), paths)
        source, version, inputs = parsing.manifest.method, parsing.manifest.plugin_version, [InputRef.of(parsing, role="parsing")]
    else:
        maps = LabelMaps.of_folder(parsing, paths)
        source, version, inputs = parsing.resolve().name, None, []
    if not maps.files:
        raise WorkError(f"The parsing skipped every picture of {dataset.root}.", "Check the first one with an image viewer.")
    clothes = clothes_indices(settings.clothes, maps.names)
    tally, rows = _Tally(), []
    with store.create("masks", name or safe_name(f"{source}-{dataset.name}")) as draft:
        chosen = set(spread(len(maps.files))) if preview else set()
        for index, path in enumerate(maps.files):
            labels = maps.read(dataset.root, path)
            keep = keep_mask(labels, clothes, settings.dilation, settings.min_area)
            tally.add(path, keep)
            _write(draft.path / keep_file(path), keep)
            if index in chosen:
                rows.append(Shown(path, read_picture(dataset.root / path), labels, keep))
            progress(index + 1, len(maps.files))
        if preview:
            contact_sheet(rows).save(draft.path / PREVIEW, format="PNG")
        skipped = [path for path in paths if path not in maps.files]
        draft.describe(
            config={**settings.model_dump(mode="json"), "label_maps": None if isinstance(parsing, Artifact) else str(parsing)},
            method=source,
            plugin_version=version,
            dataset=DatasetRef.of(dataset),
            inputs=inputs,
            metrics={**tally.metrics(), "skipped": len(skipped)},
            notes=tally.notes(skipped),
        )
    return draft.artifact


def clothes_indices(clothes: Sequence[str], names: Sequence[str]) -> list[int]:
    """Label names, upper or lower case, -> indices.

    Raises:
        UserError: a name that the parser does not have (with the nearest one).
    """
    known = {name.lower(): index for index, name in enumerate(names)}
    wrong = [label for label in clothes if label.lower() not in known]
    if wrong:
        raise UserError(
            f"Setting 'clothes' names the label '{wrong[0]}', which the parser does not have.", nearest(wrong[0].lower(), known)
        )
    return sorted({known[label.lower()] for label in clothes})


class _Tally:
    """What was masked so far."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.none: list[str] = []
        self.all: list[str] = []

    def add(self, path: str, keep: UInt8) -> None:
        share = 1.0 - float(keep.mean())
        self.shares.append(share)
        if share == 0.0:
            self.none.append(path)
        elif share == 1.0:
            self.all.append(path)

    def metrics(self) -> dict[str, Any]:
        low, high = (float(v) for v in np.percentile(self.shares, (5, 95)))
        return {
            "pictures": len(self.shares),
            "clothes_share": round(float(np.mean(self.shares)), 4),
            "clothes_share_p5": round(low, 4),
            "clothes_share_p95": round(high, 4),
            "without_clothes": len(self.none),
            "all_clothes": len(self.all),
        }

    def notes(self, skipped: Sequence[str]) -> list[str]:
        found = []
        if self.none:
            found.append(f"{len(self.none)} pictures show no clothes, so nothing of them is shielded; the first is {self.none[0]}.")
        if self.all:
            found.append(f"{len(self.all)} pictures are nothing but clothes, so all of them is shielded; the first is {self.all[0]}.")
        if skipped:
            found.append(f"{len(skipped)} pictures have no mask, because the parsing skipped them; the first is {skipped[0]}.")
        return found


def _write(path: Path, keep: UInt8) -> None:
    os.makedirs(path.parent, exist_ok=True)
    write_mask_png(path, keep)
