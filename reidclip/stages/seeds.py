"""Checkpoints that differ by their seed alone: found in the store by what their manifests say."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.manifest import InputRef
from reidclip.artifacts.store import Store
from reidclip.errors import UserError
from reidclip.stages.choose import Say

_SAME = ("method", "recipe", "settings", "precision", "on_error")  # of a training's configuration; the rest changes no result
_NAMED = ("--prompts", "--masks", "--parsing", "--name", "--seed")  # options of a command line that belong to one seed


def parse_seeds(text: str) -> tuple[int, ...]:
    """ "0,1,2" as numbers.

    Raises:
        UserError: anything else, or a seed twice: it would count as two trainings.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text}: not a list of seeds.", "Write whole numbers with commas: --seeds 0,1,2.")
    seeds = tuple(int(part) for part in parts)
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        told = f"--seeds {text}: seed{'s' if len(twice) > 1 else ''} {', '.join(map(str, twice))} more than once."
        raise UserError(told, "Name every seed once.")
    return seeds


def checkpoints_of_seeds(chosen: Artifact, seeds: Sequence[int], store: Store, say: Say) -> tuple[Artifact, ...]:
    """For each seed the newest checkpoint that is otherwise like the one chosen, which is its own seed's.

    Alike are method and its version, settings, recipe, precision, data, and what they were made from: prompts with equal settings
    (whose seed may be another, since they may be learned once per seed; which it is, is told), the same masks.

    Raises:
        UserError: a seed without such a checkpoint, with the commands that train it; or a checkpoint without seed or method.
    """
    if chosen.manifest.seed is None or chosen.manifest.method is None:
        raise UserError(f"Checkpoint {chosen.ref} records no seed and method of a training.", "Name one that reidclip finetune made.")
    known = store.list()
    by_digest = {artifact.digest: artifact for artifact in known}
    wanted = _facts(chosen, by_digest)
    alike = [a for a in known if a.kind == "checkpoint" and _facts(a, by_digest) == wanted]
    found = []
    for seed in seeds:
        mine = [a for a in alike if a.manifest.seed == seed]
        if chosen.manifest.seed == seed:
            found.append(chosen)
        elif mine:
            found.append(max(mine, key=lambda a: (a.manifest.created, a.version)))
        else:
            raise UserError(
                f"No checkpoint in {store.root} is like {chosen.ref} but of seed {seed}.",
                f"Train it: {_commands(chosen, seed, by_digest)}",
            )
    say("checkpoints: " + ", ".join(f"{a.ref} (seed {s})" for s, a in zip(seeds, found, strict=True)))
    if told := _told_of_prompts(seeds, found):
        say(told)
    return tuple(found)


def _told_of_prompts(seeds: Sequence[int], found: Sequence[Artifact]) -> str:
    """Whether the seeds cover the learning of the prompts too: an interval over fine-tunings alone is narrower. "" without prompts."""
    of_seed: dict[str, list[str]] = {}
    for seed, artifact in zip(seeds, found, strict=True):
        for read in artifact.manifest.inputs:
            if read.role == "prompts":
                of_seed.setdefault(f"{read.ref}#{read.digest}", []).append(str(seed))  # one reference may stand for two in two stores
    refs = [key.partition("#")[0] for key in of_seed]
    if not of_seed or len(seeds) < 2:
        return ""
    if len(of_seed) == 1:
        return f"prompts: one for all seeds ({refs[0]}); the seeds differ in the fine-tuning alone"
    if all(len(those) == 1 for those in of_seed.values()):
        return f"prompts: one per seed ({', '.join(refs)})"
    mixed = "; ".join(
        f"{ref} for seed{'s' if len(those) > 1 else ''} {', '.join(those)}" for ref, those in zip(refs, of_seed.values(), strict=True)
    )
    return f"note: prompts: some seeds share them, others have their own: {mixed}"


def _facts(artifact: Artifact, by_digest: dict[str, Artifact]) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        **{key: manifest.config.get(key) for key in _SAME},
        "made by": (manifest.method, manifest.plugin_version),
        "data": manifest.dataset.fingerprint if manifest.dataset else None,
        "inputs": sorted((read.role, _of_input(read, by_digest)) for read in manifest.inputs),
    }


def _of_input(read: InputRef, by_digest: dict[str, Artifact]) -> str:
    """What an input has in common with those of other seeds: prompts their facts, everything else its digest.

    Of prompts that are no longer in the store nothing says how they were learned: they are like themselves alone.
    """
    artifact = by_digest.get(read.digest)
    return read.digest if read.role != "prompts" or artifact is None else repr(sorted(_facts(artifact, by_digest).items()))


def _commands(chosen: Artifact, seed: int, by_digest: dict[str, Artifact]) -> str:
    """The command lines that made a checkpoint and its prompts, with another seed."""
    prompts = [by_digest.get(read.digest) for read in chosen.manifest.inputs if read.role == "prompts"]
    made = [artifact for artifact in (*prompts, chosen) if artifact is not None]
    return " && ".join(_command(artifact, seed) for artifact in made)


def _command(artifact: Artifact, seed: int) -> str:
    manifest = artifact.manifest
    words = list(manifest.command)[1:]
    command = "prompt-learn" if artifact.kind == "prompts" else str(manifest.config.get("command", "finetune"))
    if command not in words:  # made by a program rather than by the command line
        recipe = manifest.config.get("recipe")
        data = [part.root for part in manifest.dataset.parts] if manifest.dataset else []
        words = [command, *data, "--method", str(manifest.method), *(["--recipe", str(recipe)] if recipe else [])]
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and not word.startswith(tuple(f"{option}=" for option in _NAMED)):
            skip = word in _NAMED
            kept += [] if skip else [word]
        else:
            skip = False
    return shlex.join(["reidclip", *kept, "--seed", str(seed)])
