"""Several evaluations that belong together, run: data sets, seeds, a protocol of generalisation; one artifact each, and a summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from reidclip.artifacts.manifest import InputRef
from reidclip.artifacts.store import Artifact
from reidclip.evaluation.generalisation import Generalisation
from reidclip.evaluation.protocols import Evaluation, required_samples
from reidclip.parallel.processes import is_first
from reidclip.stages.diagnose_domains import diagnose_domains
from reidclip.stages.evaluate import EvaluateJob, evaluate
from reidclip.stages.evaluate_again import WAYS
from reidclip.stages.evaluate_encoder import check_cameras, load_encoder
from reidclip.stages.evaluate_summary import summarise_targets
from reidclip.train.device import pick_device

TABLE = "summary.json"


@dataclass(frozen=True)
class SeveralJob:
    """Evaluations that belong together, with everything decided and nothing loaded.

    Attributes:
        runs: per checkpoint (one, or one per seed), one job per target.
        targets: names of the data sets, in order.
        seeds: of the checkpoints; empty where no seeds were asked for.
        protocol: of generalisation, or None.
        name: of the summary.
        notes: what its reader should know: parts of the protocol that could not be checked, targets that are no whole copies.
    """

    runs: tuple[tuple[EvaluateJob, ...], ...]
    targets: tuple[str, ...]
    seeds: tuple[int, ...]
    protocol: Generalisation | None
    name: str
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> EvaluateJob:
        """The first target with the first checkpoint; settings, store and device are those of all."""
        return self.runs[0][0]

    @property
    def single(self) -> bool:
        """Whether it is one evaluation and nothing more, which needs no summary."""
        return len(self.runs[0]) == 1 and not self.seeds and self.protocol is None

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest; of a single evaluation its own."""
        if self.single:
            return self.first.plan()
        return {
            "command": "evaluate",
            "protocol": self.protocol.name if self.protocol else None,
            "seeds": list(self.seeds),
            "checkpoints": [run[0].checkpoint.ref if run[0].checkpoint else None for run in self.runs],
            "targets": [job.plan() for job in self.runs[0]],
            "writes": f"evaluation/{self.name}",
        }


@dataclass(frozen=True)
class Several:
    """What was done: the summary with its artifact (None for a single evaluation), and per seed and target the evaluation."""

    artifact: Artifact | None
    summary: dict[str, Any]
    runs: tuple[tuple[tuple[Artifact, list[Evaluation]], ...], ...]


def run_several(
    job: SeveralJob,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    ranking: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Several | None:
    """Run all evaluations, each checkpoint loaded once, and commit their artifacts and the summary.

    Args:
        progress: told of the features: name of the target, and of the seed where there are several, done, total.
        ranking: told of re-ranking: of which protocol, and where, done, total.

    Returns:
        None in all but the first of several processes.
    """
    runs = []
    for jobs, seed in zip(job.runs, job.seeds or (None,), strict=True):
        encoder = load_encoder(jobs[0])
        for one in jobs:  # before hours on the first of them
            check_cameras(encoder, required_samples(one.dataset, one.protocols), one.dataset, one.provenance)
        where = f", seed {seed}" if len(job.runs) > 1 else ""
        done = []
        for name, one in zip(job.targets, jobs, strict=True):
            at = f"{name}{where}"
            told = partial(_told_where, ranking, "" if job.single else f", {at}")
            done.append(evaluate(one, partial(progress, at), encoder, told))
        runs.append(tuple(found for found in done if found is not None))
    if not is_first():
        return None
    if job.single:
        return Several(None, {}, tuple(runs))
    return _summarised(job, tuple(runs))


def _told_where(ranking: Callable[[str, int, int], None], where: str, what: str, done: int, total: int) -> None:
    ranking(f"{what}{where}", done, total)


def _summarised(job: SeveralJob, runs: tuple[tuple[tuple[Artifact, list[Evaluation]], ...], ...]) -> Several:
    metrics = [[json.loads(artifact.file("metrics.json").read_text(encoding="utf-8")) for artifact, _ in run] for run in runs]
    rows = summarise_targets(metrics, job.targets, own=job.protocol is not None)
    facts = [
        {"target": name, "layout": one.dataset.layout, "root": str(one.dataset.root), **one.provenance.to_json()}
        for name, one in zip(job.targets, job.runs[0], strict=True)
    ]
    refs = [[artifact.ref for artifact, _ in run] for run in runs]
    summary = {
        **{k: v for k, v in job.plan().items() if k in ("protocol", "seeds", "checkpoints")},
        "data": facts,
        "distance": distance_of(runs[0][0][0]),
        "evaluations": refs,
        "notes": list(job.notes),
        **rows,
        **_again(job, metrics),
    }
    with job.first.store.create("evaluation", job.name) as draft:
        (draft.path / TABLE).write_text(json.dumps(summary, indent=2), encoding="utf-8")
        averages = {row["protocol"]: row for row in rows["average"]}
        (draft.path / "metrics.json").write_text(json.dumps({"average": averages}, indent=2), encoding="utf-8")
        if job.first.settings.diagnostics and len(job.targets) > 1:
            artifacts = [[artifact for artifact, _ in run] for run in runs]
            datasets = [one.dataset for one in job.runs[0]]
            diagnose_domains(job.targets, datasets, artifacts, job.first.settings.resamples, job.first.seed, draft.path)
        checkpoint = job.first.checkpoint
        draft.describe(
            config=job.plan(),
            seed=job.first.seed,
            method=checkpoint.manifest.method if checkpoint else "zero-shot",
            plugin_version=checkpoint.manifest.plugin_version if checkpoint else None,
            inputs=[InputRef.of(artifact, role="evaluation") for run in runs for artifact, _ in run],
            metrics={f"average, {p}": {key: row[key] for key in ("R1", "mAP") if row[key] is not None} for p, row in averages.items()},
            notes=job.notes,
            device=pick_device(job.first.device),
        )
    return Several(draft.artifact, summary, runs)


def _again(job: SeveralJob, metrics: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The same rows of what was ranked again, by way; targets all of whose protocols are single-shot have none, and leave no mean."""
    found: dict[str, Any] = {}
    for way in WAYS:
        runs = [[{p: told[way] for p, told in of_target.items() if way in told} for of_target in run] for run in metrics]
        if all(all(run) for run in runs):
            found[way] = summarise_targets(runs, job.targets, own=job.protocol is not None)
    return found


def distance_of(evaluation: Artifact) -> str:
    """By which features were compared, "cosine" or "Euclidean", as its manifest says; older ones all by cosine."""
    return str(evaluation.manifest.config.get("feature", {}).get("distance", "cosine"))
