"""``reidclip parse``: options -> stage -> summary line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from reidclip.cli import options
from reidclip.counted import counted

if TYPE_CHECKING:
    from reidclip.artifacts.store import Artifact

Parser = Annotated[str, typer.Option("--parser", help="Human parser (see `reidclip plugins list`).")]
Weights = Annotated[Path | None, typer.Option("--weights", help="Weights of the parser. Default: the bundled ones.", show_default=False)]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="Of the parser: bf16 takes 0.7 times as long on CPUs that have it. Default: fp32, the same maps everywhere.",
        show_default=False,
    ),
]
OnError = Annotated[
    Literal["fail", "skip"], typer.Option("--on-error", help="At a broken picture: stop, or leave it out and say so in the artifact.")
]


def parse(
    data: options.Sources = None,
    parser: Parser = "schp",
    weights: Weights = None,
    precision: Precision = None,
    on_error: OnError = "fail",
    dataset: options.Layouts = None,
    name: options.Name = None,
    config: options.Config = None,
    set_: options.Set = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    device: options.Device = "auto",
    workers: options.Workers = None,
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Label every pixel of every picture with a body part or garment.

    Reads a data set or any folder of pictures; writes a [bold]parsing[/] artifact of label maps. An interrupted run goes on when the same
    command is given again. Several processes share the pictures: torchrun --nproc-per-node N -m reidclip parse ...

    Example: reidclip parse data/prcc --parser schp
    """
    from reidclip.cli.console import console, progress_bar, say, set_quiet

    set_quiet(quiet)
    early_checks(parser, weights, store, dry_run)
    from reidclip.artifacts.store import Store
    from reidclip.parallel.processes import joined
    from reidclip.stages.plan_pictures import plan_parse

    plan = plan_parse(
        data,
        Store(store),
        parser=parser,
        layout=dataset,
        config=config,
        assignments=for_parser(set_, weights, precision),
        name=name,
        device=device,
        workers=workers,
        on_error=on_error,
        say=say,
    )
    if dry_run:
        console.print_json(json.dumps(plan.plan()))
        return
    say(f"parser: {plan.session.name} ({plan.session.version})")
    with joined(plan.device), progress_bar("parse") as progress:
        artifact = plan.run(progress)
    tell(artifact, json_)


def early_checks(parser: str, weights: Path | None, store: Path, dry_run: bool) -> None:
    """What can be told before the seconds that importing torch takes.

    Raises:
        UserError: no such parser, no such weights file, a store that cannot be written.
    """
    from reidclip import registry
    from reidclip.artifacts.store import Store
    from reidclip.errors import UserError

    known = registry.get("reidclip.parsers", parser).settings.model_fields.get("weights")
    reads_a_file = known is not None and Path in (known.annotation, *get_args(known.annotation))
    if weights is not None and reads_a_file and not weights.expanduser().exists():
        raise UserError(f"No weights file at {weights.expanduser()}.", "Check --weights, or leave it out to use the bundled ones.")
    if not dry_run:
        Store(store).check_writable()


def for_parser(assignments: list[str] | None, weights: Path | None, precision: str | None, prefix: str = "") -> list[str]:
    """``--weights PATH`` and ``--precision NAME`` are short for settings of the parser."""
    short = {"weights": weights, "precision": precision}
    return [*(assignments or []), *(f"{prefix}{key}={json.dumps(str(value))}" for key, value in short.items() if value is not None)]


def tell(artifact: Artifact, as_json: bool) -> None:
    """The result on stdout: where it is and what it says of itself; as JSON the metrics too."""
    from reidclip.cli.console import console, is_quiet

    manifest = artifact.manifest
    preview = artifact.path / "preview.png"
    if as_json:
        entry = {"artifact": artifact.ref, "kind": artifact.kind, "path": str(artifact.path), "method": manifest.method}
        shown = {"preview": str(preview)} if preview.is_file() else {}
        console.print_json(json.dumps({**entry, "metrics": manifest.metrics, "notes": manifest.notes, **shown}))
        return
    for note in () if is_quiet() else manifest.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    facts = [counted(manifest.metrics["pictures"], "picture", "pictures"), f"{manifest.wall_seconds:.1f} s"]
    if "clothes_share" in manifest.metrics:
        facts.insert(1, f"{manifest.metrics['clothes_share']:.1%} of the pixels are clothes")
    maps = manifest.config.get("label_maps")
    source = f"from label maps in {maps}" if maps else f"by {manifest.method}"
    console.print(f"wrote {artifact.kind}/{artifact.ref} {source} ({', '.join(facts)})", markup=False, soft_wrap=True)
    if preview.is_file():
        console.print(str(preview), markup=False, soft_wrap=True)
