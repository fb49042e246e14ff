"""Whether a CLIP behaves here as CLIP does on photographs: excellent at clothes, and able to see people."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from gate import Gate
from rows import Row, row_of
from runs import Runs
from words import attribute_gates, caption_gate, look_at

from reidclip.artifacts.store import Artifact
from reidclip.cli.console import progress_bar
from reidclip.records import Dataset
from reidclip.stages.read_prompts import read_prompts
from reidclip.stages.train_context import build_context
from reidclip.stages.train_job import labels_of
from reidclip.stages.train_run import finish_run
from reidclip.train.features import frozen_features
from reidclip.train.model_inputs import similarity_of
from reidclip.train.targets import identity_targets

SAME_CLOTHES = 85.0  # R1 of the plain CLIP
SEES_PEOPLE = 25.0  # cloth-changing R1 of the tower fine-tuned and tested on shielded pictures
ABOVE_RAW = 10.0  # points that this lies above the same on whole pictures
CLASSIFIED = 50.0  # percent of the training pictures, by the learned prompts


def said_of_people(runs: Runs, held_out: Path, draws: int) -> list[Gate]:
    """Sentences and captions, of people who are in no training of reidclip-tiny."""
    seen = look_at(runs.clip, held_out)
    return [caption_gate(runs.clip, seen, draws), *attribute_gates(runs.clip, seen)]


def clip_rows(runs: Runs, dataset: Dataset) -> dict[str, Row]:
    """The plain CLIP, and its tower fine-tuned and tested on whole and on shielded pictures; each is printed as it is known."""
    rows = {"zero": _told(f"{runs.clip.name}, not trained on this", runs.evaluated(dataset))}
    shielded = runs.shielded(dataset)
    for key, name, data in (("tuned", "whole", dataset), ("tuned-shielded", "shielded", shielded)):
        checkpoint = runs.finetuned(data)
        rows[key] = _told(f"baseline from {runs.clip.name} on {name} pictures", runs.evaluated(data, checkpoint), checkpoint)
    return rows


def _told(name: str, evaluation: Artifact, checkpoint: Artifact | None = None) -> Row:
    seconds = evaluation.manifest.wall_seconds + (checkpoint.manifest.wall_seconds if checkpoint else 0.0)
    row = row_of(name, json.loads(evaluation.file("metrics.json").read_text(encoding="utf-8")), seconds)
    print(row.line(), flush=True)
    return row


def row_gates(rows: dict[str, Row], people: int) -> list[Gate]:
    """What must hold of the CLIP's rows.

    Args:
        people: in the gallery; chance is one in so many.
    """
    zero, raw, hidden = (rows[key] for key in ("zero", "tuned", "tuned-shielded"))
    chance = f"{100 / people:.1f}"
    return [
        Gate(
            zero.name,
            f"same-clothes R1 above {SAME_CLOTHES:.0f}",
            f"{zero.same_clothes:.1f}",
            zero.same_clothes > SAME_CLOTHES,
            chance,
            f"cloth-changing: {zero.cloth_changing:.1f}",
        ),
        Gate(
            hidden.name,
            f"people are seen: cloth-changing R1 above {SEES_PEOPLE:.0f}",
            f"{hidden.cloth_changing:.1f} ({hidden.interval[0]:.1f} to {hidden.interval[1]:.1f})",
            hidden.cloth_changing > SEES_PEOPLE,
            chance,
            f"same clothes: {hidden.same_clothes:.1f}",
        ),
        Gate(
            "the same, against whole pictures",
            f"cloth-changing R1 at least {ABOVE_RAW:.0f} points higher",
            f"{hidden.cloth_changing - raw.cloth_changing:+.1f}",
            hidden.cloth_changing - raw.cloth_changing >= ABOVE_RAW,
            "",
            f"whole pictures: {raw.cloth_changing:.1f} ({raw.interval[0]:.1f} to {raw.interval[1]:.1f})",
        ),
    ]


def prompt_gate(runs: Runs, dataset: Dataset) -> Gate:
    """Learned identity prompts as the classes of the very pictures that they were learned from."""
    job, prompts = runs.prompts(dataset)
    train, labels = labels_of(job)
    with progress_bar("pictures against prompts", "batches") as told:
        context = build_context(job, labels, train, lambda what, done, total: told(done, total))
        with torch.no_grad():
            features = frozen_features(replace(context, cache=None), job.settings, ("shield",))["x_s"]
            texts = read_prompts(prompts, context.clip, labels)["identity.text"].to(context.device)
            right = similarity_of(context.clip, job.settings)(features, texts).argmax(1) == identity_targets(context)
    finish_run(job)  # the folder that the context made
    share = 100 * float(right.float().mean())
    return Gate(
        "identity prompts learned on shielded pictures",
        f"classify above {CLASSIFIED:.0f} of 100 training pictures",
        f"{share:.1f}",
        share > CLASSIFIED,
        f"{100 / len(labels.pids):.1f}",
    )
