"""``reidclip search``: pictures -> the items of a gallery nearest to each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reidclip.cli import options
from reidclip.cli.console import console, progress_bars, say, set_quiet
from reidclip.cli.index import After, Before, Cameras, Domains, Index

_WHICH = "Which items may answer"


def search(
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="[IMAGE]...", help="Pictures of one person each, or crops.", show_default=False)
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="KEY", help="Ask about this item of the gallery; may be repeated.", show_default=False),
    ] = None,
    index: Index = None,
    top: Annotated[int, typer.Option("--top", min=1, max=10_000, help="Answers per query.")] = 10,
    camera: Cameras = None,
    not_camera: Annotated[
        list[int] | None,
        typer.Option("--not-camera", metavar="N", help="Not of this camera; may be repeated.", rich_help_panel=_WHICH, show_default=False),
    ] = None,
    domain: Domains = None,
    after: After = None,
    before: Before = None,
    clothes: Annotated[
        list[int] | None,
        typer.Option("--clothes", metavar="N", help="In these clothes; may be repeated.", rich_help_panel=_WHICH, show_default=False),
    ] = None,
    other_clothes: Annotated[
        bool, typer.Option("--other-clothes", help="In other clothes than the query alone.", rich_help_panel=_WHICH)
    ] = False,
    query_clothes: Annotated[
        int | None,
        typer.Option(
            "--query-clothes",
            metavar="N",
            help="What the query wears, for --other-clothes. Default: seen by the parser, or the item's own.",
            rich_help_panel=_WHICH,
            show_default=False,
        ),
    ] = None,
    unknown_clothes: Annotated[
        bool,
        typer.Option(
            "--unknown-clothes", help="With --other-clothes: items whose clothes nobody knows answer too.", rich_help_panel=_WHICH
        ),
    ] = False,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Order the best ten times as many anew by k-reciprocal neighbours (--set k1, k2, lambda_).")
    ] = False,
    expand: Annotated[
        int, typer.Option("--expand", min=0, max=1000, metavar="N", help="Ask again with the mean of query and N nearest.")
    ] = 0,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE.png", help="Also draw queries and answers as pictures.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --sheet.")] = False,
    checkpoint: Annotated[
        str | None,
        typer.Option("--checkpoint", help="The index's own encoder, where it has another name in this store.", show_default=False),
    ] = None,
    parser: Annotated[str, typer.Option("--parser", help="Sees the clothes of a query, for --other-clothes.")] = "schp",
    set_: options.Set = None,
    store: options.StoreDir = options.DEFAULT_STORE,
    device: options.Device = "auto",
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask a gallery index: where else was this person?

    Answers are sorted by distance: 1 - cosine, or Euclidean where the model does not normalise. Items are asked about by their key, as the
    table shows it, and do not answer themselves. With --other-clothes items in the query's own clothes are left out, and so are those
    whose clothes nobody knows. Writes no artifact.

    Example: reidclip search person.jpg --not-camera 2 --other-clothes --top 20

    Example: reidclip search --item gate/0007.jpg --rerank --sheet found.png
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.cli.search_view import as_json, check_sheet, print_answers
    from reidclip.errors import UserError
    from reidclip.gallery.filters import seconds_of
    from reidclip.gallery.query import Filter
    from reidclip.stages.search import plan_search
    from reidclip.stages.search import search as run

    if (query_clothes is not None or unknown_clothes) and not other_clothes:
        raise UserError("--query-clothes and --unknown-clothes belong to --other-clothes.", "Add --other-clothes, or leave them out.")
    if sheet is not None:
        check_sheet(sheet, force)
    wanted = Filter(
        cameras=tuple(camera or ()),
        not_cameras=tuple(not_camera or ()),
        domains=tuple(domain or ()),
        clothes=tuple(clothes or ()),
        unknown_clothes=unknown_clothes,
        after=None if after is None else seconds_of(after, "--after"),
        before=None if before is None else seconds_of(before, "--before"),
    )
    job = plan_search(
        images or (),
        Store(store),
        index=index,
        keys=item or (),
        wanted=wanted,
        other_clothes=other_clothes,
        query_clothes=query_clothes,
        top=top,
        rerank=rerank,
        expand=expand,
        assignments=set_ or (),
        checkpoint=checkpoint,
        parser=parser,
        device=device,
        say=say,
    )
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return
    with progress_bars("pictures") as progress:
        result = run(job, progress)
    if sheet is not None:
        from reidclip.stages.search_sheet import write_sheet

        write_sheet(result, sheet, say)
    if json_:
        typer.echo(json.dumps(as_json(result, sheet), indent=1))
    else:
        print_answers(result)
    if sheet is not None:
        say(f"wrote {sheet}")
