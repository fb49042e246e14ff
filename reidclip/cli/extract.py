"""``reidclip extract``: options -> stage -> summary line."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bar, say, set_quiet
from reidclip.counted import counted

_FRAMES = "Videos and trackers"


def extract(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Data sets, folders of pictures, pictures, videos, folders of frames. Default: the data of the newest checkpoint.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", help="Checkpoint artifact, ccaf-prcc@v1. Default: the newest, of this data if there is one.", show_default=False
        ),
    ] = None,
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Take the plain CLIP instead of a checkpoint.")] = False,
    clip: Annotated[
        str | None,
        typer.Option("--clip", help="With --zero-shot: which CLIP (reidclip-tiny, ARCH:TAG, a weights file).", show_default=False),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Average each vector with that of the mirrored picture. Default: as the encoder was saved.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Of a data set: this split alone; may be repeated. Default: all pictures.", show_default=False),
    ] = None,
    mot: Annotated[
        list[Path] | None,
        typer.Option(
            "--mot",
            metavar="FILE",
            help="Boxes of a tracker as MOT text (frame,id,left,top,width,height,confidence): once for each source, in their order. "
            "They count frames from 1; items.csv and keys of items count from 0.",
            rich_help_panel=_FRAMES,
            show_default=False,
        ),
    ] = None,
    per_track: Annotated[
        Literal["crops", "mean"],
        typer.Option("--per-track", help="One vector per crop, or one per track: the mean of its crops'.", rich_help_panel=_FRAMES),
    ] = "crops",
    whole_frames: Annotated[
        bool, typer.Option("--whole-frames", help="Take a video's frames as they are, without boxes.", rich_help_panel=_FRAMES)
    ] = False,
    every: Annotated[int, typer.Option("--every", min=1, help="Take every so many-th frame.", rich_help_panel=_FRAMES)] = 1,
    min_size: Annotated[
        int, typer.Option("--min-size", min=1, help="Leave out boxes narrower or lower than so many pixels.", rich_help_panel=_FRAMES)
    ] = 10,
    min_confidence: Annotated[
        float | None,
        typer.Option("--min-confidence", help="Leave out boxes below it. Default: take all.", rich_help_panel=_FRAMES, show_default=False),
    ] = None,
    padding: Annotated[
        float,
        typer.Option("--pad", min=0, max=2, help="Add so much of a box's width and height at each side.", rich_help_panel=_FRAMES),
    ] = 0.0,
    camera: Annotated[
        list[int] | None,
        typer.Option(
            "--camera",
            min=0,
            help="Number of the camera, once for all sources or once for each.",
            rich_help_panel=_FRAMES,
            show_default=False,
        ),
    ] = None,
    start_time: Annotated[
        list[str] | None,
        typer.Option(
            "--start-time",
            metavar="ISO",
            help="When the first frame was taken, 2026-05-01T08:00:00+02:00, likewise; UTC where it names no zone.",
            rich_help_panel=_FRAMES,
            show_default=False,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option("--fps", help="Frames per second. Default: as the video says.", rich_help_panel=_FRAMES, show_default=False),
    ] = None,
    clothes: Annotated[
        bool, typer.Option("--clothes", help="Also describe the clothes of each crop, for searches for other clothes.")
    ] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Also write vectors.parquet.")] = False,
    on_error: Annotated[
        Literal["fail", "skip"],
        typer.Option("--on-error", help="At broken pictures, bad lines, missing frames: stop, or leave them out and say so."),
    ] = "fail",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pictures per forward.")] = 128,
    fresh: options.Fresh = False,
    dataset: options.Layouts = None,
    name: options.Name = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    workers: options.Workers = None,
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn pictures or crops into vectors, by a checkpoint's encoder.

    Reads data sets (labels and cameras are kept), any folder of pictures, or a video with the boxes of a tracker; writes a
    [bold]vectors[/] artifact: vectors.safetensors, and items.csv that says what each row is of. Vectors are those of `reidclip evaluate`.
    An interrupted run goes on when the same command is given again. `reidclip index build` makes them searchable.

    Example: reidclip extract data/prcc --split test-A

    Example: reidclip extract hall.mp4 --mot hall.txt --camera 3 --start-time 2026-05-01T08:00:00+02:00 --per-track mean
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.gallery.parquet import require_parquet
    from reidclip.gallery.reading import Reading
    from reidclip.stages.extract import extract as run_job
    from reidclip.stages.extract import plan_extract

    if not dry_run:
        Store(store).check_writable()
    if parquet:
        require_parquet()
    reading = Reading(
        tuple(mot or ()),
        whole_frames,
        every,
        min_size,
        min_confidence,
        padding,
        tuple(camera or ()),
        tuple(_seconds(text) for text in start_time or ()),
        _positive(fps),
        tuple(split or ()),
        on_error,
    )
    job = plan_extract(
        sources or (),
        Store(store),
        checkpoint=checkpoint,
        zero_shot=zero_shot,
        clip=clip,
        layout=dataset,
        reading=reading,
        per_track=per_track,
        clothes=clothes,
        parquet=parquet,
        flip=flip,
        name=name,
        device=device,
        precision=precision,
        workers=workers,
        batch_size=batch_size,
        fresh=fresh,
        say=say,
    )
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    with progress_bar("vectors") as progress:
        artifact = run_job(job, progress)
    found = artifact.manifest.metrics
    if json_:
        told = {"artifact": f"vectors/{artifact.ref}", "path": str(artifact.path), **found, "notes": list(artifact.manifest.notes)}
        console.print_json(json.dumps(told))
        return
    console.print(f"{counted(found['vectors'], 'vector', 'vectors')} of {found['width']} numbers, of {job.opened.root}", markup=False)
    say(f"wrote vectors/{artifact.ref} to {artifact.path}")


def _seconds(text: str) -> float:
    """Since the epoch."""
    from reidclip.errors import UserError

    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise UserError(f"--start-time '{text}' is no time.", "Write it as 2026-05-01T08:00:00+02:00.") from error
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()


def _positive(fps: float | None) -> float | None:
    from reidclip.errors import UserError

    if fps is not None and not 0 < fps <= 10_000:
        raise UserError(f"--fps {fps:g} is no number of frames per second.", "Give for example --fps 25.")
    return fps
