"""``reidclip index``: build, change and look at gallery indexes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bars, say, set_quiet

if TYPE_CHECKING:
    from reidclip.artifacts.artifact import Artifact

app = typer.Typer(no_args_is_help=True, help="Build and change gallery indexes, which `reidclip search` asks.")

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[VECTORS|DATA]...",
        help="Vectors artifacts; or data sets, folders, pictures and videos, which are extracted first. Default: the newest vectors.",
        show_default=False,
    ),
]
Index = Annotated[str | None, typer.Option("--index", help="Index artifact, hall@v2. Default: the newest.", show_default=False)]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        help="What data named here is extracted with; zero-shot:NAME is a plain CLIP. Default: what made the index, else the newest.",
        show_default=False,
    ),
]
Backend = Annotated[str, typer.Option("--backend", help="Kind of index: faiss (embedded), milvus (a database).")]
Clothes = Annotated[
    str | None,
    typer.Option(
        "--clothes",
        metavar="MODE",
        help="Where an item's class of clothes comes from: labels of the data, clusters (or clusters:K) of their colours, none. "
        "Default: labels where there are some, else clusters where vectors were extracted with --clothes.",
        show_default=False,
    ),
]
_WHICH = "Which items"
Cameras = Annotated[
    list[int] | None,
    typer.Option("--camera", metavar="N", help="Of this camera; may be repeated.", rich_help_panel=_WHICH, show_default=False),
]
Domains = Annotated[
    list[str] | None,
    typer.Option("--domain", metavar="NAME", help="Of this data set; may be repeated.", rich_help_panel=_WHICH, show_default=False),
]
After = Annotated[
    str | None,
    typer.Option(
        "--after", metavar="TIME", help="Seen then or later: 2024-05-01T13:30, or seconds.", rich_help_panel=_WHICH, show_default=False
    ),
]
Before = Annotated[
    str | None, typer.Option("--before", metavar="TIME", help="Seen then or earlier.", rich_help_panel=_WHICH, show_default=False)
]


@app.command("build")
def build(
    sources: Inputs = None,
    backend: Backend = "faiss",
    clothes: Clothes = None,
    checkpoint: Checkpoint = None,
    name: options.Name = None,
    set_: options.Set = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Build a gallery index; writes an [bold]index[/] artifact.

    faiss searches exactly unless told otherwise: --set kind=hnsw answers in milliseconds over millions and misses a few, --set kind=ivf is
    quicker to build. Their recall against exact search is measured with vectors of the gallery (for new pictures it is lower), told and
    written down; efforts are raised until --set min_recall=0.95 is reached. milvus keeps the vectors in a database: a local one beside the
    store, or --set uri=http://HOST:19530, with the token in REIDCLIP_MILVUS_TOKEN. `reidclip plugins show faiss` lists all settings.

    Example: reidclip index build --clothes clusters

    Example: reidclip index build data/prcc --checkpoint cal-prcc --set kind=hnsw
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.stages.index_build import build as run
    from reidclip.stages.index_build import plan_build

    job = plan_build(
        sources or (),
        Store(store),
        backend=backend,
        assignments=set_ or (),
        clothes=clothes,
        checkpoint=checkpoint,
        name=name,
        seed=seed,
        device=device,
        say=say,
    )
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    with progress_bars("vectors") as progress:
        artifact = run(job, progress)
    _tell(artifact, json_)


@app.command("add")
def add(
    sources: Inputs = None,
    index: Index = None,
    checkpoint: Checkpoint = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    device: options.Device = "auto",
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Add vectors, or pictures that are extracted first by the index's own model: the next version of the index.

    The version before stays as it is and answers as before; with faiss both share the files of the vectors. Items that are in the index
    already are left out, which is told; where all are, nothing is written.

    Example: reidclip index add data/new-camera --index hall
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.stages.index_change import add as run
    from reidclip.stages.index_change import plan_add

    job = plan_add(sources or (), Store(store), index=index, checkpoint=checkpoint, device=device, say=say)
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    with progress_bars("vectors") as progress:
        artifact = run(job, progress)
    if artifact is None:
        say(f"index {job.index.ref} holds all of them: nothing was written")
    if artifact is not None or json_:
        _tell(artifact or job.index, json_)


@app.command("remove")
def remove(
    item: Annotated[
        list[str] | None,
        typer.Option(
            "--item", metavar="KEY", help="This item, as search names it; may be repeated.", rich_help_panel=_WHICH, show_default=False
        ),
    ] = None,
    camera: Cameras = None,
    domain: Domains = None,
    after: After = None,
    before: Before = None,
    index: Index = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Remove items: the next version of an index without them.

    Items named, and those for which all of --camera, --domain, --after and --before that are given hold. Earlier versions keep them: to
    be rid of somebody's vectors, remove those versions too (reidclip artifacts rm).

    Example: reidclip index remove --camera 3 --before 2024-05-01
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.gallery.filters import seconds_of
    from reidclip.gallery.query import Filter
    from reidclip.stages.index_change import plan_remove
    from reidclip.stages.index_change import remove as run

    matching = Filter(
        cameras=tuple(camera or ()),
        domains=tuple(domain or ()),
        after=None if after is None else seconds_of(after, "--after"),
        before=None if before is None else seconds_of(before, "--before"),
    )
    job = plan_remove(Store(store), index=index, keys=item or (), matching=matching, say=say)
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    with progress_bars("steps") as progress:
        artifact = run(job, progress)
    say(f"removed {len(job.rows)} of {len(job.items)} items")
    _tell(artifact, json_)


@app.command("info")
def info(
    index: Annotated[
        str | None, typer.Argument(metavar="[INDEX]", help="Index artifact, hall@v2. Default: the newest.", show_default=False)
    ] = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what an index holds: items by camera, domain, time and clothes, its model, recall, and what it was made from.

    Example: reidclip index info hall@v2
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.cli.index_view import print_info
    from reidclip.stages.index_info import index_info

    told = index_info(Store(store), index)
    if json_:
        console.print_json(json.dumps(told))
    else:
        print_info(told)


def _tell(artifact: Artifact, json_: bool) -> None:
    metrics = dict(artifact.manifest.metrics)
    if json_:
        told = {"kind": "index", "ref": artifact.ref, "path": str(artifact.path), "metrics": metrics}
        console.print_json(json.dumps(told))
    else:
        console.print(f"wrote index/{artifact.ref}: {metrics.get('items')} items", markup=False, soft_wrap=True)
