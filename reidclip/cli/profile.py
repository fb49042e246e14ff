"""``reidclip profile``: options -> stage -> one table of what checkpoints cost and reach."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bar, say, set_quiet


def profile(
    checkpoint: Annotated[
        list[str] | None, typer.Argument(metavar="CHECKPOINT", help="Checkpoint artifacts. Default: the newest.", show_default=False)
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pictures per forward.")] = 32,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Forwards that are timed; the median counts.")] = 10,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads of a CPU. Default: torch's own number.", show_default=False)
    ] = None,
    memory: Annotated[bool, typer.Option("--memory/--no-memory", help="Measure peak memory; on a CPU in a process of its own.")] = True,
    protocol: Annotated[
        list[str] | None,
        typer.Option("--protocol", help="Show this protocol's result; may be repeated. Default: all there are.", show_default=False),
    ] = None,
    clip: Annotated[
        list[str] | None,
        typer.Option(
            "--clip", help="A row for the image encoder of this plain CLIP too, a student's teacher; may be repeated.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write what --json prints to this file.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --output.")] = False,
    store: options.StoreDir = options.DEFAULT_STORE,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    json_: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell what checkpoints cost: parameters, operations, pictures per second, memory, beside their R1 and mAP.

    Operations are those of convolutions and matrix products for one picture: GFLOPs count a multiplication and its addition as two,
    GMACs as one (papers print either under the name FLOPs). Speed is that of the network alone. Memory of a CPU is the growth of a fresh
    process when it loads the encoder and runs one batch; of a GPU what torch allocated. Parameters in training are what the fine-tuning
    changed, and in brackets all that it held; checkpoints of earlier versions do not tell. An encoder that tests with
    both mirror images counts both. Operations are those of a picture of the input size, height x width: compare them at one size. Results
    are those of the newest evaluations of the very checkpoint in the store, on the data set that most of these have been evaluated on.
    Writes no artifact.

    Example: reidclip profile ccaf-prcc@v1 baseline-prcc@v1 --batch-size 64 --protocol cloth-changing

    Example: reidclip profile clip3dreid-prcc --clip ViT-L-14:openai
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.cli.profile_view import print_profile
    from reidclip.errors import UserError
    from reidclip.stages.profile import as_json, plan_profile
    from reidclip.stages.profile import profile as run_job

    if output is not None and output.exists() and (output.is_dir() or not force):
        raise UserError(f"{output} is there already.", "Name another file with --output, or overwrite it with --force.")
    job = plan_profile(
        checkpoint or (),
        Store(store),
        batch_size=batch_size,
        repeats=repeats,
        memory=memory,
        protocols=protocol or (),
        device=device,
        precision=precision,
        threads=threads,
        clips=clip or (),
        say=say,
    )
    if output is not None and not output.absolute().parent.is_dir():
        raise UserError(f"There is no folder {output.absolute().parent}.", "Make it first, or write the file elsewhere.")
    with progress_bar("profile", "checkpoints") as progress:
        rows = run_job(job, progress)
    told = as_json(job, rows)
    if output is not None:
        _write(output, told)
    if json_:
        console.print_json(json.dumps(told))
    else:
        print_profile(rows, told["measured"])
    if output is not None:
        say(f"wrote {output}")


def _write(path: Path, told: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        draft.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
