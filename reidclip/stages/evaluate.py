"""``reidclip evaluate`` as a function: features, exact ranking, metrics with intervals, an ``evaluation`` artifact."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.names import check_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.clip.weights import SUFFIXES
from reidclip.data.cache import CacheKind
from reidclip.data.open import open_dataset
from reidclip.errors import UserError
from reidclip.evaluation.divisions import of_divisions
from reidclip.evaluation.protocols import Evaluation, evaluate_protocol, required_samples
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.parallel.processes import is_first
from reidclip.records import Dataset, Protocol
from reidclip.settings import parse_assignments
from reidclip.stages.blurred_faces import face_blur, parsing_for, shown_faces
from reidclip.stages.choose import Say, checkpoint_for, dataset_for
from reidclip.stages.compare import Comparison, compare
from reidclip.stages.evaluate_again import check_again, rank_again
from reidclip.stages.evaluate_encoder import check_cameras, load_encoder
from reidclip.stages.evaluate_features import extract_features
from reidclip.stages.evaluate_protocols import chosen_protocols
from reidclip.stages.evaluate_settings import given_values, of_recipe, resolve_evaluate
from reidclip.stages.evaluate_splits import told_of_splits, write_ranks, write_splits
from reidclip.stages.evaluate_told import of_tracklets, told
from reidclip.stages.evaluation_names import evaluation_name
from reidclip.stages.trained_on import Provenance, provenance
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision

DEFAULT_CLIP = "reidclip-tiny"


@dataclass(frozen=True)
class EvaluateJob:
    """An evaluation with everything decided and nothing loaded.

    Attributes:
        checkpoint: what is evaluated; None evaluates the plain CLIP ``clip``.
        protocols: in the order in which they are reported.
        comparison: published numbers that the results stand beside.
        provenance: what the checkpoint has to do with the data set.
        cache: what becomes of decoded pictures; "auto" keeps none, for each is read once.
        say: is told what takes time before the features.
        parsing: label maps by which faces are blurred; None keeps them.
    """

    dataset: Dataset
    store: Store
    protocols: tuple[Protocol, ...]
    checkpoint: Artifact | None
    clip: str
    name: str
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)
    comparison: Comparison = field(default_factory=Comparison)
    device: str = "auto"
    precision: str = "fp32"
    workers: int | None = None
    seed: int = 0
    cache: CacheKind = "auto"
    say: Say = field(default=lambda text: None, compare=False)
    provenance: Provenance = field(default_factory=lambda: Provenance("unknown", {}))
    parsing: Artifact | None = None

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest."""
        return {
            "command": "evaluate",
            "data": {"root": str(self.dataset.root), "layout": self.dataset.layout},
            "checkpoint": self.checkpoint.ref if self.checkpoint else None,
            "zero_shot": None if self.checkpoint else self.clip,
            **self.provenance.to_json(),
            "parsing": self.parsing.ref if self.parsing else None,
            "protocols": [p.name for p in self.protocols],
            "splits": {p.name: list(p.draws) for p in self.protocols if p.draws},
            "settings": self.settings.model_dump(mode="json"),
            "published": [name for name in self.comparison.rows],
            "writes": f"evaluation/{self.name}",
            "device": str(pick_device(self.device)),
            "precision": self.precision,
            "cache": self.cache,
        }


def plan_evaluate(
    data: Path | Dataset | None,
    store: Store,
    *,
    checkpoint: str | Artifact | None = None,
    zero_shot: bool = False,
    clip: str | None = None,
    protocols: Sequence[str] = (),
    splits: Sequence[int] = (),
    layout: str | None = None,
    name: str | None = None,
    recipe: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    seed: int = 0,
    cache: CacheKind = "auto",
    beside: Sequence[Dataset] = (),
    parsing: str | None = None,
    say: Say = lambda text: None,
) -> EvaluateJob:
    """Decide what is evaluated on what.

    Args:
        data: folder, or what was read from it; None takes the data of the checkpoint (or of the newest artifact, with ``zero_shot``).
        checkpoint: itself or its reference; None takes the newest: of the data named, or of all.
        zero_shot: evaluate the plain CLIP instead; ``clip`` says which.
        protocols: names; empty takes all of the data set but the single-shot variants.
        splits: which of a protocol's random divisions; empty averages over all.
        recipe: of the checkpoint's method; None takes the one it was trained by. Only its table [evaluate] is read.
        beside: what else is evaluated together with it, for names that differ.
        parsing: reference of label maps by which faces are blurred; None takes the newest of this data, where they are.

    Raises:
        UserError: anything that does not fit.
    """
    if zero_shot and checkpoint:
        raise UserError("A checkpoint and --zero-shot exclude each other.", "Leave one of them out.")
    if clip and not zero_shot:
        raise UserError("--clip names a plain CLIP, which only --zero-shot evaluates.", "Add --zero-shot, or leave --clip out.")
    # What is wrong with the settings is told before the data is read.
    check_precision(precision, pick_device(device))
    values = given_values(config, parse_assignments(assignments))
    protocols = tuple(dict.fromkeys(protocols))
    opened = data if isinstance(data, Dataset) or data is None else open_dataset(data, layout)
    chosen = None if zero_shot else _checkpoint(checkpoint, opened, store, say)
    dataset = opened or dataset_for(None, layout, store, ("checkpoint", "masks", "prompts", "parsing"), say, chosen)
    selected = of_divisions(chosen_protocols(dataset, protocols, say), splits)
    for note in dataset.notes:  # after what may fail, whose errors hold some of them
        say(f"note: {note}")
    spec = clip or DEFAULT_CLIP
    seen = provenance(chosen, dataset, selected)
    if odd := seen.told(dataset):
        say(f"note: {odd}")
    elsewhere = seen.relation in ("other", "source")
    settings = shown_faces(resolve_evaluate(*of_recipe(chosen, recipe), *values), chosen, say)
    check_again(dataset, selected, settings, say)
    labels = parsing_for(parsing, bool(settings.blur_faces), dataset, store, say)
    comparison = compare(chosen, dataset, selected, settings, store)
    if comparison.withheld:
        say(comparison.withheld)
    return EvaluateJob(
        dataset,
        store,
        selected,
        chosen,
        spec,
        check_name(name or evaluation_name(subject_of(chosen, spec), dataset, store, elsewhere=elsewhere, beside=beside)),
        settings,
        comparison,
        device,
        precision,
        workers,
        seed,
        cache,
        say,
        seen,
        labels,
    )


def subject_of(checkpoint: Artifact | None, clip: str) -> str:
    """What is evaluated, as a part of an artifact's name."""
    return checkpoint.name if checkpoint else f"zero-shot-{Path(clip).stem if Path(clip).suffix in SUFFIXES else clip}"


def _checkpoint(named: str | Artifact | None, dataset: Dataset | None, store: Store, say: Say) -> Artifact:
    if isinstance(named, Artifact):
        return named
    return checkpoint_for(named, dataset, store, say, ", or evaluate the plain CLIP with --zero-shot")


def evaluate(
    job: EvaluateJob,
    progress: Callable[[int, int], None] | None = None,
    encoder: InferenceEncoder | None = None,
    ranking: Callable[[str, int, int], None] | None = None,
) -> tuple[Artifact, list[Evaluation]] | None:
    """Run a planned evaluation and commit its artifact.

    Args:
        encoder: the job's, where it is loaded already.
        ranking: told of re-ranking: of which protocol, done, total.

    Returns:
        the artifact and, per protocol, the result. All but the first of several processes only extract their part of the features, and
        give None.
    """
    encoder = encoder or load_encoder(job)
    samples = required_samples(job.dataset, job.protocols)
    check_cameras(encoder, samples, job.dataset, job.provenance)
    blur = face_blur(job.dataset, samples, job.parsing, say=job.say, workers=job.workers) if job.parsing else None
    if not is_first():
        extract_features(encoder, job, samples, progress, blur)
        return None
    with job.store.create("evaluation", job.name) as draft:
        features = extract_features(encoder, job, samples, progress, blur)
        results = [evaluate_protocol(job.dataset, p, features, job.settings.resamples, job.seed) for p in job.protocols]
        again = [rank_again(job.dataset, r, features, job.settings, job.seed, draft.path, ranking) for r in results]
        metrics = {
            r.protocol.name: {**told(r, job), **told_of_splits(job.dataset, r), **more} for r, more in zip(results, again, strict=True)
        }
        (draft.path / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
        for result in results:
            write_ranks(draft.path / f"ranks-{result.protocol.name}.csv", result)
        write_splits(draft.path, job.dataset, results)
        save_file({"features": features.matrix.cpu().contiguous()}, draft.path / "features.safetensors")
        (draft.path / "paths.json").write_text(json.dumps(list(features.paths)), encoding="utf-8")
        if job.settings.diagnostics:
            from reidclip.stages.diagnose import diagnose

            diagnose(job, features, samples, results, draft.path)
        options = encoder.options
        feature = {
            "width": encoder.width,
            "neck": options.neck,
            "flip": options.flip,
            "normalised": options.normalise,
            "distance": "cosine" if options.normalise else "Euclidean",
            "ap": "precision at hit",
            **of_tracklets(samples, job.settings),
        }
        draft.describe(
            config={**job.plan(), "feature": feature},
            seed=job.seed,
            method=job.checkpoint.manifest.method if job.checkpoint else "zero-shot",
            plugin_version=job.checkpoint.manifest.plugin_version if job.checkpoint else None,
            dataset=DatasetRef.of(job.dataset),
            inputs=[InputRef.of(a, role=role) for role, a in (("checkpoint", job.checkpoint), ("parsing", job.parsing)) if a],
            metrics={name: {key: m[key] for key in ("R1", "mAP") if m[key] is not None} for name, m in metrics.items()},
            notes=[blur.told] if blur else [],
            device=pick_device(job.device),
        )
    return draft.artifact, results
