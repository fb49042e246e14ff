"""The options that a user may expect of every command, read off the command line itself."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
import typer

from reidclip.cli.app import app

EVERYWHERE = {"--json", "--verbose", "-v", "--quiet", "-q"}
ON_A_STORE = {"--store"}
OF_WORK = {"--dry-run", "--workers", "--device", "--name", "--dataset"}
OF_TRAINING = (
    OF_WORK
    | {"--config", "--set", "--recipe", "--seed", "--precision", "--fresh", "--clip", "--method", "--masks"}
    | {"--blur-faces", "--parsing"}
)
OF_PARSING = OF_WORK | {"--config", "--set", "--parser", "--weights"}
WANTED = {
    "synth": {"--dry-run", "--workers", "--seed", "--layout", "--ids", "--outfits", "--images-per-camera"},
    "parse": OF_PARSING | ON_A_STORE,
    "mask": OF_PARSING | ON_A_STORE | {"--parsing", "--preview"},
    "prompt-learn": OF_TRAINING | ON_A_STORE,
    "finetune": OF_TRAINING | ON_A_STORE | {"--prompts"},
    "distill": (OF_TRAINING - {"--clip", "--masks"})
    | ON_A_STORE
    | {"--student", "--teacher", "--meshes", "--body", "--descriptions", "--label-only", "--blur-faces"},
    "evaluate": OF_WORK
    | ON_A_STORE
    | {"--seed", "--precision", "--protocol", "--checkpoint", "--zero-shot", "--clip", "--flip", "--rerank", "--expand"}
    | {"--blur-faces", "--parsing"}
    | {"--config", "--set", "--recipe"},
    "profile": {"--store", "--json", "--device", "--precision", "--batch-size", "--repeats", "--threads", "--protocol", "--output"},
    "explain": {"--store", "--json", "--device", "--workers", "--seed", "--dataset", "--split", "--limit"}
    | {"--map", "--against", "--towards", "--labels", "--shares-only", "--output"},
    "export": ON_A_STORE
    | {"--dry-run", "--name", "--dataset", "--config", "--set", "--format", "--preprocessing", "--resize", "--precision", "--data"}
    | {"--output", "--force", "--threads"},
    "extract": OF_WORK
    | ON_A_STORE
    | {"--precision", "--checkpoint", "--zero-shot", "--clip"}
    | {"--split", "--mot", "--per-track", "--whole-frames", "--every", "--camera", "--start-time", "--clothes", "--parquet", "--on-error"}
    | {"--fresh", "--batch-size", "--flip"},
    "serve": ON_A_STORE | {"--port", "--host", "--token", "--max-upload", "--open", "--device", "--threads", "--dry-run"},
    "index build": ON_A_STORE | {"--dry-run", "--device", "--name", "--set", "--seed", "--backend", "--clothes", "--checkpoint"},
    "index add": ON_A_STORE | {"--dry-run", "--device", "--index", "--checkpoint"},
    "index remove": ON_A_STORE | {"--dry-run", "--index", "--item", "--camera", "--before"},
    "index info": ON_A_STORE,
    "search": ON_A_STORE
    | {"--dry-run", "--device", "--set", "--index", "--item", "--top", "--camera", "--not-camera", "--domain", "--after", "--before"}
    | {"--clothes", "--other-clothes", "--query-clothes", "--rerank", "--expand", "--sheet"},
    "doctor": ON_A_STORE | {"--verify"},
    "report": ON_A_STORE
    | {"--output", "--force", "--data", "--queries", "--pictures", "--heat-maps", "--max-size", "--title", "--name", "--seed"}
    | {"--dry-run", "--device", "--workers"},
    "datasets list": set(),
    "datasets show": set(),
    "datasets verify": {"--dataset", "--workers", "--counts", "--open", "--strict", "--show", "--output"},
    "datasets extract": set(),
    "datasets splits": {"--output"},
    "datasets blur-faces": {"--parsing", "--label-set", "--dataset", "--store"},
    "import": ON_A_STORE | {"--dry-run", "--name", "--kind", "--size", "--stride", "--neck"},
    "artifacts gc": ON_A_STORE | {"--dry-run"},
    **{f"artifacts {name}": ON_A_STORE for name in ("list", "show", "verify", "lineage", "rm")},
    **{f"plugins {name}": set() for name in ("list", "show", "eq", "check")},
}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield " ".join(path), command
    else:
        for name, below in subcommands.items():
            yield from leaves(below, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_these_are_the_commands() -> None:
    assert set(COMMANDS) == set(WANTED)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_options(name: str) -> None:
    options = [p for p in COMMANDS[name].params if p.param_type_name == "option"]
    given = {flag for option in options for flag in option.opts}
    assert EVERYWHERE | WANTED[name] <= given
    assert [option.name for option in options if not getattr(option, "help", None)] == [], "an option without a help text"
    assert COMMANDS[name].help, "a command without a help text"
