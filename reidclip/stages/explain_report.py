"""What an explanation tells: a summary as plain values, a table of shares, sheets and overlays, written whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reidclip.artifacts.durable import disk_full, is_disk_full
from reidclip.data.images import read_picture, write_picture_png
from reidclip.errors import WorkError
from reidclip.explain.overlay import ends_of_scale, overlay, top_of_scale
from reidclip.explain.regions import CLOTHES, regions_of
from reidclip.explain.shares import difference, summarise
from reidclip.explain.sheet import Shown, explanation_sheet
from reidclip.stages.explain_job import TRANSPORT, Explained, ExplainJob, mass_on_picture
from reidclip.stages.explain_phrases import notes_on_even
from reidclip.stages.explain_pictures import Chosen, Labels

SUMMARY, TABLE = "explain.json", "shares.csv"
_NAME = 60  # characters of a picture's name that its overlay's file has


def summary(job: ExplainJob, results: Sequence[Explained]) -> dict[str, Any]:
    """Plain values for JSON: per checkpoint the kind of map, pictures without one, and mean shares with intervals."""
    told: dict[str, Any] = {
        "pictures": len(job.paths),
        **(_taken_from(job.chosen) if job.chosen else {}),
        "seed": job.seed,
        "towards": str(job.towards) if job.towards else None,
        "labels": job.labels.label_set.name if job.labels else None,
        "label_maps": _label_maps(job.labels) if job.labels else None,
        "checkpoints": [_of_checkpoint(job, one) for one in results],
        "notes": notes(results),
    }
    if job.labels is not None and len(results) > 1:
        told["more_on_clothes"] = [_against(job, first, other) for first, other in _pairs(results)]
    return told


def _pairs(results: Sequence[Explained]) -> list[tuple[Explained, Explained]]:
    """The first checkpoint's maps beside each other one's; of transport maps, those of the same phrase."""
    words = [None if one.words is None else one.words.title for one in results]
    return [(results[words.index(title)], one) for title, one in zip(words, results, strict=True) if results[words.index(title)] is not one]


def _taken_from(chosen: Chosen) -> dict[str, Any]:
    data = chosen.data.model_dump(mode="json", include={"layout", "root", "fingerprint"})
    return {"data": data, "split": chosen.split, "limit": chosen.limit}


def _label_maps(labels: Labels) -> dict[str, str]:
    if labels.artifact is not None:
        return {"artifact": f"{labels.artifact.kind}/{labels.artifact.ref}", "digest": labels.artifact.digest}
    return {"folder": str(labels.folder)}


def notes(results: Sequence[Explained]) -> list[str]:
    """What to know before the checkpoints are compared."""
    by_student = {f"{one.checkpoint.ref}: {one.words.note}; its own reading was taken" for one in results if one.words and one.words.note}
    if len({one.kind for one in results}) < 2:
        return sorted(by_student) + notes_on_even(results)
    kinds = [f"{one.checkpoint.ref} {one.kind}" for one in results]
    return [f"the maps are of different kinds, which spread their mass differently ({', '.join(kinds)}): shares do not compare"]


def _of_checkpoint(job: ExplainJob, one: Explained) -> dict[str, Any]:
    told: dict[str, Any] = {
        "checkpoint": one.checkpoint.ref,
        "method": one.checkpoint.manifest.method,
        "map": one.kind,
        "zero": [job.paths[index] for index in one.zero],
    }
    if one.words is not None:
        said = dict(Counter(one.words.said).most_common())
        told |= {"phrase": one.words.title, "chosen_by": one.words.by, "said": said, "evenness": float(one.words.even.mean())}
    if job.labels is not None and one.mass is not None and one.pixels is not None:
        seen = _seen(len(job.paths), one)
        regions = regions_of(job.labels.label_set)
        shares = summarise(one.mass[seen], one.pixels[seen], regions, job.seed) if seen.any() else {}
        told["shares"] = {name: dataclasses.asdict(share) for name, share in shares.items()}
    return told


def _against(job: ExplainJob, first: Explained, other: Explained) -> dict[str, Any]:
    """How much more mass the other has on clothes, over the pictures where both have a map."""
    assert job.labels is not None and first.mass is not None and other.mass is not None
    column = regions_of(job.labels.label_set).names.index(CLOTHES)
    both = _seen(len(job.paths), first) & _seen(len(job.paths), other)
    found = difference(first.mass[both, column], other.mass[both, column], job.seed) if both.any() else None
    told = {"checkpoint": other.checkpoint.ref, "than": first.checkpoint.ref, "difference": found}
    return told if first.words is None else {**told, "phrase": first.words.title}


def _seen(count: int, one: Explained) -> np.ndarray:
    seen = np.ones(count, bool)
    seen[list(one.zero)] = False
    return seen


def write(job: ExplainJob, results: Sequence[Explained], progress: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
    """Write the job's folder: summary, shares, sheets and overlays. It is made beside its place and renamed into it.

    Returns:
        names of the sheets.

    Raises:
        WorkError: the disk is full, or a picture cannot be read.
    """
    assert job.output is not None
    target = Path(os.path.abspath(job.output))
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".tmp-explain-", dir=target.parent))
    try:
        draft.chmod(0o755)
        (draft / SUMMARY).write_text(json.dumps(summary(job, results), indent=1) + "\n", encoding="utf-8")
        if job.labels is not None:
            _write_shares(draft / TABLE, job, results)
        sheets = _draw(draft, job, results, progress) if job.draw else []
        if target.is_dir():
            target.rmdir()  # empty, or the plan would have refused it
        draft.rename(target)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(target.parent) from error
        raise WorkError(f"{target} cannot be written: {error.strerror or error}.", "Name another folder with --output.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return sheets


def _write_shares(path: Path, job: ExplainJob, results: Sequence[Explained]) -> None:
    """One line per checkpoint and picture; shares of a map that is zero are left empty."""
    assert job.labels is not None
    names = regions_of(job.labels.label_set).names
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        words = ["phrase"] if job.map == TRANSPORT else []
        writer.writerow(["checkpoint", *words, "picture", *(f"mass_{name}" for name in names), *(f"pixels_{name}" for name in names)])
        for one in results:
            assert one.mass is not None and one.pixels is not None
            for index, picture in enumerate(job.paths):
                mass = [""] * len(names) if index in one.zero else [f"{v:.6f}" for v in one.mass[index]]
                said = [] if one.words is None else [one.words.said[index]]
                writer.writerow([one.checkpoint.ref, *said, picture, *mass, *(f"{v:.6f}" for v in one.pixels[index])])


def _draw(folder: Path, job: ExplainJob, results: Sequence[Explained], progress: Callable[[int, int], None]) -> list[str]:
    count = len(job.paths)
    all_heat = [heat for one in results for heat in one.heat]
    ends = ends_of_scale(all_heat) if job.map == TRANSPORT else (0.0, top_of_scale(all_heat))  # plans leave no place empty
    titles = [one.title for one in results]
    headline = "Where features come from" + (f", towards {job.towards.name}" if job.towards else "")
    if job.map == TRANSPORT:
        headline = "Where the mass of each phrase goes (optimal transport)"
    for one in results:
        (folder / "overlays" / _folder_of(one)).mkdir(parents=True)
    sheets: list[str] = []
    page: list[Shown] = []
    above = [Shown(f"towards {job.towards.name}", read_picture(job.towards), ())] if job.towards else []
    for index in range(count):
        page.append(_shown(folder, job, results, index, ends))
        if len(page) == job.per_sheet or index == count - 1:
            sheets.append(f"sheet-{len(sheets) + 1:03d}.png")
            write_picture_png(folder / sheets[-1], np.asarray(explanation_sheet([*above, *page], titles, ends[1], headline, ends[0])))
            page = []
        progress(index + 1, count)
    return sheets


def _shown(folder: Path, job: ExplainJob, results: Sequence[Explained], index: int, ends: tuple[float, float]) -> Shown:
    """One picture with its overlays, which are also written as files."""
    path = job.paths[index]
    picture = read_picture(job.dataset.file(path))
    overlays = []
    for one in results:
        overlays.append(overlay(picture, mass_on_picture(job, one, index), ends[1], ends[0]))
        stem = Path(path).stem[-_NAME:]
        write_picture_png(folder / "overlays" / _folder_of(one) / f"{index + 1:04d}-{stem}.png", overlays[-1])
    return Shown(path, picture, tuple(overlays), tuple(_caption(job, one, index) for one in results))


def _caption(job: ExplainJob, one: Explained, index: int) -> str:
    if index in one.zero:
        return "no map"
    if one.words is not None:
        return one.words.said[index]
    if job.labels is None or one.mass is None:
        return ""
    return f"clothes {one.mass[index, regions_of(job.labels.label_set).names.index(CLOTHES)]:.0%}"


def _folder_of(one: Explained) -> str:
    """Of its overlays: its checkpoint's name, and for transport maps within it one for each phrase."""
    name = one.checkpoint.ref.replace("@", "-")
    return name if one.words is None else f"{name}/{one.words.title.replace(' / ', '-or-').replace(' ', '-')}"
