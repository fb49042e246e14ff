"""``reidclip evaluate --task shape``: options -> stage -> table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reidclip.cli.console import console, progress_bars, say
from reidclip.errors import UserError

ONLY_RETRIEVAL = (
    *("--protocol", "--split", "--seeds", "--zero-shot", "--clip", "--diagnostics", "--recipe", "--blur-faces", "--parsing"),
    *("--rerank", "--expand"),
)
ONLY_SHAPE = ("--body", "--export-mesh", "--mesh-format", "--export-people")


def check_task(task: str, given: Mapping[str, object]) -> None:
    """That no option of the other task was given.

    Args:
        task: "retrieval" or "shape".
        given: option -> its value; None, False and empty lists were not given.

    Raises:
        UserError: one was.
    """
    foreign = ONLY_RETRIEVAL if task == "shape" else ONLY_SHAPE
    for option in foreign:
        if given.get(option) not in (None, False, []):
            other = "retrieval" if task == "shape" else "shape"
            raise UserError(f"{option} belongs to --task {other}, and this is --task {task}.", f"Leave it out, or give --task {other}.")


def run_shape(
    data: Sequence[Path],
    store: Path,
    *,
    export: Path | None,
    mesh_format: str | None,
    export_people: int | None,
    as_json: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Plan, then print the plan or evaluate, print the table and tell what was written.

    Args:
        options: see `reidclip.stages.plan_shape.plan_shape`.

    Raises:
        UserError: more than one data set, or mesh options without --export-mesh.
    """

    if len(data) > 1:
        raise UserError(f"--task shape evaluates one data set, and {len(data)} are named.", "Evaluate one after the other.")
    if export is None and (mesh_format or export_people):
        raise UserError("--mesh-format and --export-people say how --export-mesh writes, which is not given.", "Add --export-mesh DIR.")
    from reidclip.artifacts.store import Store
    from reidclip.cli.evaluate_shape_view import print_shape  # it names measurements of bodies, which other tasks run without
    from reidclip.parallel.processes import joined
    from reidclip.stages.evaluate_shape import evaluate_shape
    from reidclip.stages.plan_shape import Export, plan_shape
    from reidclip.train.device import pick_device

    asked = None if export is None else Export(export, mesh_format or "ply", export_people or 10)  # type: ignore[arg-type]
    job = plan_shape(next(iter(data), None), Store(store), export=asked, dry=dry_run, say=say, **options)
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    with joined(pick_device(job.device)), progress_bars("images") as tell:
        done = evaluate_shape(job, tell)
    if done is None:
        return
    artifact, metrics = done
    if as_json:
        told = {"artifact": artifact.ref, "kind": artifact.kind, "path": str(artifact.path), "metrics": metrics}
        console.print_json(json.dumps({**told, "notes": list(job.notes), "meshes": None if export is None else str(export)}))
        return
    print_shape(artifact, metrics, job.data.what)
    say(f"wrote evaluation/{artifact.ref} to {artifact.path}")
    if job.export is not None:
        say(f"wrote predicted and true meshes to {job.export.folder}")
