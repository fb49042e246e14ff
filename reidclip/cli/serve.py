"""``reidclip serve``: options -> stage -> an address."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from reidclip.cli import options
from reidclip.cli.console import console, say, set_quiet


def serve(
    index: Annotated[
        str | None, typer.Argument(metavar="[INDEX]", help="Index artifact, gate@v3. Default: the newest.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")] = 8765,
    host: Annotated[str, typer.Option("--host", help="Address to listen at. One that others reach needs --token.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="REIDCLIP_SERVE_TOKEN",
            help="Ask everybody for this token; auto makes one and prints it once. Other users of the machine can read a command line: "
            "better set the variable.",
            show_default=False,
            show_envvar=True,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="Answer under this name too (behind a proxy); may be repeated.", show_default=False
        ),
    ] = None,
    max_upload: Annotated[float, typer.Option("--max-upload", min=0.01, max=1000, metavar="MB", help="Largest picture.")] = 10,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            min=1,
            metavar="SECONDS",
            help="Longest that a picture may take to arrive, to wait for its turn, and to be searched with, each.",
        ),
    ] = 30,
    threads: Annotated[int, typer.Option("--threads", min=1, max=64, help="Searches that run beside each other.")] = 1,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", help="The checkpoint that made the vectors, where it has another name in this store.", show_default=False
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    store: options.StoreDir = options.DEFAULT_STORE,
    device: options.Device = "auto",
    json_: options.Json = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Show a page over an index: drop a picture, choose filters, see who is most like it; with a JSON API beside.

    The page listens at 127.0.0.1, where only this machine reaches it, and loads nothing from anywhere else. Pictures that are dropped are
    searched with in memory; none is kept or logged. The API is described at /docs and /openapi.json. Ends with Ctrl-C; writes no artifact.

    Example: reidclip serve gate --open

    Example, for colleagues: reidclip serve gate --host 0.0.0.0 --token auto
    """
    set_quiet(quiet)
    from reidclip.artifacts.store import Store
    from reidclip.serve.settings import MEGABYTE, ServeSettings
    from reidclip.stages.serve import plan_serve
    from reidclip.stages.serve import serve as run
    from reidclip.train.device import pick_device

    settings = ServeSettings(
        host=host,
        allowed_hosts=tuple(allow_host or ()),
        token=token or None,
        max_upload=int(max_upload * MEGABYTE),
        timeout=timeout,
        threads=threads,
        device=str(pick_device(device)),
    )
    job = plan_serve(index, Store(store), settings, port, say)
    if dry_run:
        console.print_json(json.dumps(job.plan()))
        return

    def ready(address: str) -> None:
        if json_:
            console.print_json(json.dumps({"address": address, "index": job.index.ref, "model": job.about.model.ref}), indent=None)
        else:
            console.print(address, markup=False, highlight=False, soft_wrap=True)
        say("Ctrl-C ends it.")
        if open_:
            import webbrowser

            webbrowser.open(address)

    run(job, ready, checkpoint)
