"""``reidclip synth --meshes``: options -> stage -> summary line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reidclip.cli.console import console, progress_bar, say

OWN = {"meshes", "poses", "body", "ids", "test_ids", "size", "seed"}
"""Options of `reidclip synth` that decide what is rendered of bare bodies; the others that do are for dressed people."""
_FEW = 400  # pictures that one process has rendered before others have started


def check_options(given: set[str], meshes: bool) -> None:
    """Refuse options of one kind of set for the other.

    Args:
        given: names of the options on the command line that decide what is rendered.
        meshes: whether bare bodies are asked for.

    Raises:
        UserError: options that do not go together.
    """
    from reidclip.errors import UserError

    wrong = sorted(given - OWN if meshes else given & {"poses", "body"})
    named = ", ".join("--" + name.replace("_", "-") for name in wrong)
    if named and meshes:
        raise UserError(f"--meshes renders bare bodies and has no {named}.", "Leave out --meshes for dressed people, or the others.")
    if named:
        raise UserError(f"{named}: only for renders of bare bodies.", "Add --meshes, or leave them out.")


def render_meshes(out: Path, parameters: dict[str, Any], *, workers: int | None, dry_run: bool, as_json: bool) -> None:
    """Render bare bodies and print the summary; ``parameters`` are those of `reidclip.stages.synth_meshes.synth_meshes`."""
    from reidclip.bodies.licence import licence_once
    from reidclip.bodies.spec import DEFAULT, body_plugin, open_body
    from reidclip.stages.synth import default_workers
    from reidclip.stages.synth_meshes import plan_meshes, synth_meshes

    spec = parameters.pop("body", None) or DEFAULT
    plan = plan_meshes(open_body(spec), **parameters)
    total = plan.ids * plan.poses
    if dry_run:
        console.print_json(json.dumps({"command": "synth", "out": str(out), **plan.as_dict(), "pictures": total}))
        return
    licence_once(body_plugin(spec), say)
    if workers is None:
        workers = 1 if total < _FEW else default_workers()
    with progress_bar("Rendering", "pictures") as progress:
        summary = synth_meshes(out, body=spec, workers=workers, progress=progress, say=say, **parameters)
    if as_json:
        values = {"layout": summary.layout, "identities": summary.identities, "pictures": summary.pictures, "rendered": summary.rendered}
        console.print_json(json.dumps({"out": str(summary.out), **values, "seconds": round(summary.seconds, 2)}))
        return
    rate = summary.rendered / max(summary.seconds, 1e-9)
    say(f"{summary.rendered} of {summary.pictures} pictures rendered in {summary.seconds:.1f} s ({rate:.1f} per second).")
    console.print(f"{summary.out}: {summary.pictures} mesh renders of {summary.identities} bodies", soft_wrap=True)
