"""``reidclip evaluate``: options -> stage -> table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bar, say, set_quiet
from reidclip.cli.diagnostics_view import lines
from reidclip.cli.training import note_on_weights

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact
    from reidclip.evaluation.protocols import Evaluation
    from reidclip.stages.compare import Comparison


def evaluate(
    data: options.Data = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="Checkpoint artifact, ccaf-prcc@v1. Default: the newest.", show_default=False)
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            help="general, same-clothes, cloth-changing, ...; may be repeated. Default: all of the data set but single-shot.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        list[int] | None,
        typer.Option(
            "--split",
            metavar="N",
            help="Number, from 0, of one random split of the data; may be repeated. Default: the average over all of them.",
            show_default=False,
        ),
    ] = None,
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Evaluate the plain CLIP instead of a checkpoint.")] = False,
    clip: options.Clip = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average each feature with that of the mirrored picture; --set flip=true.")] = False,
    diagnostics: Annotated[
        bool,
        typer.Option(
            "--diagnostics", help="Also distances of pairs, prompts against pictures, clothes left in the feature, and a map of people."
        ),
    ] = False,
    dataset: options.Dataset = None,
    name: options.Name = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Pictures per forward. Default: 128.", show_default=False)
    ] = None,
    recipe: options.Recipe = None,
    config: options.Config = None,
    set_: options.Set = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    workers: options.Workers = None,
    cache: options.Cache = "auto",
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Evaluate a checkpoint: exact CMC, mAP and mINP, with bootstrap 95% intervals over queries.

    Reads a data set and a checkpoint; writes an [bold]evaluation[/] artifact with metrics, per-query ranks and features. Prints the
    published numbers beside its own when the checkpoint's recipe and the data set are those of the paper, unchanged.
    Settings: flip, batch_size, resamples (of the bootstrap; 0 gives no intervals), diagnostics, map_people. With --diagnostics the
    artifact also holds diagnostics.json and diagnostics/*.png.

    Example: reidclip evaluate data/prcc --protocol cloth-changing
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store

    if not dry_run:
        Store(store).check_writable()
    from reidclip.parallel.processes import joined
    from reidclip.stages.evaluate import evaluate as run_job
    from reidclip.stages.evaluate import plan_evaluate
    from reidclip.train.device import pick_device

    job = plan_evaluate(
        data,
        Store(store),
        checkpoint=checkpoint,
        zero_shot=zero_shot,
        clip=clip,
        protocols=protocol or (),
        splits=split or (),
        layout=dataset,
        name=name,
        recipe=recipe,
        config=config,
        assignments=[
            *(set_ or []),
            *(["flip=true"] if flip else []),
            *(["diagnostics=true"] if diagnostics else []),
            *([f"batch_size={batch_size}"] if batch_size else []),
        ],
        device=device,
        precision=precision,
        workers=workers,
        seed=seed,
        cache=cache,
        say=say,
    )
    if dry_run:
        if job.checkpoint is None:
            note_on_weights(job.clip)
        console.print_json(json.dumps(job.plan()))
        return
    unit = "tracklets" if any(s.frames for s in job.dataset.samples) else "images"
    with joined(pick_device(job.device)), progress_bar("features", unit) as progress:
        done = run_job(job, progress)
    if done is None:
        return
    artifact, results = done
    if json_:
        metrics = json.loads((artifact.path / "metrics.json").read_text(encoding="utf-8"))
        found = _diagnostics(artifact)
        told = {"artifact": artifact.ref, "kind": artifact.kind, "path": str(artifact.path), "metrics": metrics}
        console.print_json(json.dumps(told if found is None else {**told, "diagnostics": found}))
    else:
        _print_table(artifact, results)
        _print_published(results, job.comparison)
        _print_diagnostics(artifact)
        say(f"wrote evaluation/{artifact.ref} to {artifact.path}")


def _print_table(artifact: Artifact, results: list[Evaluation]) -> None:
    from rich import box
    from rich.table import Table

    caption = "percent; brackets: bootstrap 95% interval over queries; valid: queries with a match"
    table = Table(title=artifact.ref, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    for column in ("protocol", "R1", "mAP", "R5", "R10", "mINP", "valid", "gallery"):
        table.add_column(column, justify="left" if column == "protocol" else "right", no_wrap=column == "protocol")
    for result in results:
        m, averages = result.metrics, result.protocol.reports_map
        table.add_row(
            result.protocol.name,
            _with_interval(m.R1, m.R1_interval),
            _with_interval(m.mAP, m.mAP_interval) if averages else "-",
            *(f"{100 * v:.1f}" for v in (m.R5, m.R10)),
            f"{100 * m.mINP:.1f}" if averages else "-",
            f"{m.valid}/{m.queries}",
            str(m.gallery),
        )
    console.print(table)
    for result in results:
        if result.divisions:
            names = list(result.divisions)
            told = f"mean over {len(names)} random splits, {names[0]} to {names[-1]}" if len(names) > 1 else f"{names[0]} alone"
            console.print(f"{result.protocol.name}: {told}; each in metrics.json", markup=False, soft_wrap=True)


def _print_published(results: list[Evaluation], comparison: Comparison) -> None:
    """One line per protocol with published numbers: they, and by how much these are above or below."""
    for result in results:
        row, m = comparison.rows.get(result.protocol.name), result.metrics
        if row is not None:
            here = f"here {100 * m.R1 - row.R1:+.1f}, {100 * m.mAP - row.mAP:+.1f}"
            hearsay = {"R": "", "T": "; quoted elsewhere, not read in the paper", "G": "; hearsay"}[row.status]
            line = f"published, {result.protocol.name}: R1 {row.R1:.1f}, mAP {row.mAP:.1f} ({here}) [{row.source}{hearsay}]"
            console.print(" ".join(filter(None, (line, row.note))), markup=False, soft_wrap=True)


def _diagnostics(artifact: Artifact) -> dict[str, Any] | None:
    if "diagnostics.json" not in artifact.files:
        return None
    found: dict[str, Any] = json.loads(artifact.file("diagnostics.json").read_text(encoding="utf-8"))
    return found


def _print_diagnostics(artifact: Artifact) -> None:
    found = _diagnostics(artifact)
    for line in lines(found) if found else ():
        console.print(line, markup=False, soft_wrap=True)


def _with_interval(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} \\[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
