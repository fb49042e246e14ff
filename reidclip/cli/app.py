"""Builds the command line, and is the single place where an exception becomes an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import typer

from reidclip import __version__
from reidclip.cli import (
    artifacts,
    datasets,
    distill,
    doctor,
    evaluate,
    explain,
    export,
    extract,
    finetune,
    import_,
    index,
    mask,
    parse,
    plugins,
    profile,
    prompt_learn,
    report,
    search,
    serve,
    synth,
)
from reidclip.cli.absent import install
from reidclip.cli.console import console, error_console, is_silent
from reidclip.cli.processes import processes
from reidclip.cli.usage import plain_usage_errors
from reidclip.errors import InterruptedRunError, ReidclipError

INTERRUPTED = 130  # exit code of a process that Ctrl-C ended, by convention 128 + SIGINT

app = typer.Typer(
    name="reidclip",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "CLIP-based person re-identification, cloth-changing first.\n\n"
        "A pipeline is a row of commands; each reads and writes versioned artifacts in ./artifacts:\n\n"
        "  reidclip mask data/prcc && reidclip prompt-learn && reidclip finetune && reidclip evaluate\n\n"
        "No data at hand? `reidclip synth data/synth` renders some."
    ),
)


def _version(value: bool) -> None:
    if value:
        console.print(f"reidclip {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and stop.")) -> None:
    licence = sys.modules.get("reidclip.bodies.licence")  # most commands know nothing of bodies, and run without
    if licence is not None:  # an earlier command of this process opened one
        licence.begin_command()


app.command("synth")(synth.synth)
app.command("parse")(parse.parse)
app.command("mask")(mask.mask)
app.command("prompt-learn")(prompt_learn.prompt_learn)
app.command("finetune")(finetune.finetune)
app.command("distill")(distill.distill)
app.command("evaluate")(evaluate.evaluate)
app.command("profile")(profile.profile)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("extract")(extract.extract)
app.add_typer(index.app, name="index")
app.command("search")(search.search)
app.command("report")(report.report)
app.command("import")(import_.import_)
app.command("doctor")(doctor.doctor)
app.command("serve")(serve.serve)
app.add_typer(datasets.app, name="datasets")
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(plugins.app, name="plugins")


@contextlib.contextmanager
def error_boundary(verbose: bool) -> Iterator[None]:
    """Turn errors into one or two lines on stderr and an exit code; ``-v`` adds the traceback."""
    try:
        yield
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer ends silently on Ctrl-C
            remedy = "Nothing half-written was left; parse, prompt-learn, finetune, distill, extract and synth go on when repeated."
            _tell("Interrupted.", remedy, verbose, of_all=True)
        raise
    except InterruptedRunError as error:
        _tell(error.what, error.remedy, verbose, of_all=True)
        sys.exit(error.exit_code)
    except ReidclipError as error:
        _tell(error.what, error.remedy, verbose)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _tell("Interrupted.", "", verbose, of_all=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        name = f" {error.filename}" if error.filename else ""
        _tell(f"{error.strerror or error}:{name}", "Check the path, its permissions and the free space of the disk.", verbose)
        sys.exit(1)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (remedy := install(error)):
            _tell(f"{error.name} is not installed, which this command needs.", remedy, verbose)
            sys.exit(1)
        _tell(f"Internal error: {type(error).__name__}: {error}", "Run again with -v for the traceback, and please report it.", verbose)
        sys.exit(1)


def _tell(what: str, remedy: str, verbose: bool, *, of_all: bool = False) -> None:
    """On stderr; what happens to all processes of a run (``of_all``) by the first alone, another's own error with its number."""
    if is_silent() and of_all:
        return
    if verbose:
        error_console.print_exception()
    error_console.print("[bold red]error:[/] ", end="")
    if is_silent():
        what = f"process {os.environ.get('RANK', '?')} (the first is 0): {what}"
    error_console.print(what, markup=False, highlight=False, soft_wrap=True)
    if remedy:
        error_console.print(remedy, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Console entry point."""
    verbose = any(a in ("-v", "--verbose") for a in sys.argv[1:]) or os.environ.get("REIDCLIP_DEBUG") == "1"
    with error_boundary(verbose), processes(sys.argv[1:]), plain_usage_errors(sys.argv[1:]):
        code = app(prog_name="reidclip", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
