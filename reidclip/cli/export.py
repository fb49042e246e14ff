"""``reidclip export``: options -> stage -> one table of what was verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bars, say, set_quiet


def export(
    checkpoint: Annotated[
        str | None, typer.Argument(metavar="[CHECKPOINT]", help="Checkpoint artifact. Default: the newest.", show_default=False)
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="onnx, onnx-int8, torch-export, safetensors; see `reidclip plugins list`.")
    ] = "onnx",
    preprocessing: Annotated[
        bool,
        typer.Option("--preprocessing", help="Put the normalisation inside: uint8 pictures (B, H, W, 3) of the encoder's size go in."),
    ] = False,
    resize: Annotated[
        bool,
        typer.Option(
            "--resize", help="Put the resizing inside too: uint8 pictures of any size, all of a batch of one. The same pixels as Pillow's."
        ),
    ] = False,
    precision: Annotated[
        str,
        typer.Option(
            "--precision", help="Weights in the file: fp32, or fp16, half as large. Products are float32, inputs and outputs too."
        ),
    ] = "fp32",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Folder whose pictures it is verified on. Default: the checkpoint's, else rendered people.", show_default=False
        ),
    ] = None,
    dataset: options.Dataset = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Copy the model file there too.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --output.")] = False,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Threads of the runtime that verifies. Default: its own number.", show_default=False),
    ] = None,
    name: options.Name = None,
    config: options.Config = None,
    set_: options.Set = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    dry_run: options.DryRun = False,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a checkpoint's image encoder as one file for another runtime, and verify that it gives the same vectors.

    The file takes a batch of any size and gives one vector per picture, averaged over both mirror images where the encoder does that and of
    unit length where it makes such vectors. Without --preprocessing it takes normalised float32 pictures (B, 3, H, W), with it uint8
    (B, H, W, 3): bring pictures to H x W with the Pillow filter that export.json names, or let the file do it (--resize). Encoders with
    camera embeddings also take camera, int64 (B,).

    Nothing is kept unless it is verified: in batches of 1, 2, 7 and 64 real pictures each vector's cosine to PyTorch's is at least 0.99999
    (fp32) or 0.999 (fp16), its length PyTorch's to a thousandth or a hundredth, and it is the same in every batch. Formats whose numbers
    differ by design (onnx-int8) are measured by R1 and mAP before and after, and held to much looser bounds of length and between
    batches. report.json beside the model holds the figures, export.json all that is needed to use it without this toolkit.

    Example: reidclip export --preprocessing

    Example: reidclip export ccaf-prcc@v3 --format onnx --precision fp16 --output person.onnx
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.cli.export_view import print_report
    from reidclip.stages.export import export as run_job
    from reidclip.stages.export import plan_export

    job = plan_export(
        checkpoint,
        Store(store),
        format_=format_,
        data=data,
        layout=dataset,
        preprocessing=preprocessing,
        resize=resize,
        precision=precision,
        name=name,
        config=config,
        assignments=set_ or (),
        threads=threads,
        output=output,
        force=force,
        say=say,
    )
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    job.store.check_writable()
    with progress_bars("parts") as progress:
        artifact, report = run_job(job, progress)
    if json_:
        console.print_json(
            json.dumps({"artifact": artifact.ref, "path": str(artifact.path), "output": str(output) if output else None, **report})
        )
        return
    print_report(report)
    console.print(f"wrote export/{artifact.ref}: {artifact.path}", markup=False, soft_wrap=True)
    if output is not None:
        say(f"wrote {output}")
