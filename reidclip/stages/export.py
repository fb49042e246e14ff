"""``reidclip export`` as a function: a checkpoint's encoder in another runtime's format, verified, an ``export`` artifact."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from reidclip import __version__, registry
from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import InferenceEncoder
from reidclip.data.open import open_dataset
from reidclip.errors import UserError
from reidclip.export.network import ExportNetwork
from reidclip.gallery.model import VectorModel
from reidclip.interfaces import Exporter, ExportPlan
from reidclip.records import Dataset
from reidclip.settings import Settings, parse_assignments, resolve
from reidclip.stages.choose import Say, checkpoint_for
from reidclip.stages.config_file import beside, read_config
from reidclip.stages.evaluate import EvaluateJob, plan_evaluate
from reidclip.stages.evaluate_encoder import load_checkpoint
from reidclip.stages.export_calibration import calibration_of
from reidclip.stages.export_verify import Progress, verify
from reidclip.stages.reopen import open_again

EXPORTERS = "reidclip.exporters"
EXPORT_FILE, REPORT_FILE = "export.json", "report.json"
_FORMAT = 1


@dataclass(frozen=True)
class ExportJob:
    """An export with everything decided and nothing loaded.

    Attributes:
        checkpoint: what is exported.
        exporter: the format.
        settings: the exporter's own.
        dataset: whose pictures it is verified on; None renders some.
        evaluation: what is evaluated before and after, for formats that are not exact.
        preprocessing, resize, precision: see `ExportPlan`.
        threads: of the runtime while it is verified; None leaves it its own number.
        output: where a copy of the model file goes too.
    """

    checkpoint: Artifact
    store: Store
    exporter: Exporter
    settings: Settings
    name: str
    dataset: Dataset | None = None
    evaluation: EvaluateJob | None = None
    preprocessing: bool = False
    resize: bool = False
    precision: Literal["fp32", "fp16"] = "fp32"
    threads: int | None = None
    output: Path | None = None
    say: Say = field(default=lambda text: None, compare=False)

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest."""
        return {
            "command": "export",
            "checkpoint": self.checkpoint.ref,
            "format": self.exporter.name,
            "settings": self.settings.model_dump(mode="json"),
            "preprocessing": self.preprocessing,
            "resize": self.resize,
            "precision": self.precision,
            "verified_on": str(self.dataset.root) if self.dataset else "rendered pictures",
            "protocols": [p.name for p in self.evaluation.protocols] if self.evaluation else [],
            "threads": self.threads,
            "writes": f"export/{self.name}",
            "output": str(self.output) if self.output else None,
        }


def plan_export(
    checkpoint: str | None,
    store: Store,
    *,
    format_: str = "onnx",
    data: Path | None = None,
    layout: str | None = None,
    preprocessing: bool = False,
    resize: bool = False,
    precision: str = "fp32",
    name: str | None = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    threads: int | None = None,
    output: Path | None = None,
    force: bool = False,
    say: Say = lambda text: None,
) -> ExportJob:
    """Decide what is exported, and on what it is verified.

    Args:
        checkpoint: its reference; None takes the newest.
        data: folder whose pictures it is verified on; None takes the checkpoint's data where they still are, else rendered pictures.
        resize: implies ``preprocessing``.
        output: a file that must not be there yet, unless ``force`` is set.

    Raises:
        UserError: anything that does not fit.
    """
    exporter: Exporter = registry.get(EXPORTERS, format_)
    preprocessing = preprocessing or resize
    _check(exporter, preprocessing, precision, output, force)
    given = {} if config is None else read_config(config, "export", exporter.settings)
    where = f"export settings of format {exporter.name}{beside(config)}"
    settings = resolve(exporter.settings, given, parse_assignments(assignments), where=where, plugin=exporter.name)
    chosen = checkpoint_for(checkpoint, None, store, say, ", or bring one from elsewhere with reidclip import")
    if chosen.manifest.config.get("holds", "encoder") != "encoder":
        raise UserError(f"Checkpoint {chosen.ref} holds no image encoder.", "Name one that reidclip finetune or distill wrote.")
    dataset = _dataset(chosen, data, layout, exporter, say)
    evaluation = None if exporter.exact else plan_evaluate(dataset, store, checkpoint=chosen, device="cpu", say=say)
    return ExportJob(
        chosen,
        store,
        exporter,
        settings,
        check_name(name or safe_name(f"{chosen.name}-{exporter.name}")),
        dataset,
        evaluation,
        preprocessing,
        resize,
        "fp16" if precision == "fp16" else "fp32",
        threads,
        output,
        say,
    )


def export(job: ExportJob, progress: Progress = lambda what, done, total: None) -> tuple[Artifact, dict[str, Any]]:
    """Run a planned export, verify it and commit its artifact.

    Returns:
        the artifact, and what its ``report.json`` says.

    Raises:
        UserError: the format lacks an operator, or a package is missing.
        WorkError: the verification failed; no export is left.
    """
    encoder = load_checkpoint(job.checkpoint, torch.device("cpu"))
    calibration = calibration_of(job.dataset, encoder) if job.dataset and getattr(job.exporter, "calibrates", False) else None
    plan = ExportPlan(job.settings, job.preprocessing, job.resize, job.precision, calibration)
    with job.store.create("export", job.name) as draft:
        progress("export", 0, 1)
        path = job.exporter.export(encoder, plan, draft.path)
        progress("export", 1, 1)
        session = job.exporter.load(path, job.threads)
        report = verify(job, session, encoder, plan, progress)
        about = _about(job, encoder, plan, path)
        (draft.path / EXPORT_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        (draft.path / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        del session  # some runtimes keep their file open, which is renamed now
        draft.describe(
            config=job.plan(),
            method=job.checkpoint.manifest.method,
            plugin_version=job.checkpoint.manifest.plugin_version,
            dataset=DatasetRef.of(job.dataset) if job.dataset else None,
            inputs=[InputRef.of(job.checkpoint, role="checkpoint")],
            metrics={"least_cosine": min(b["least_cosine"] for b in report["batches"])},
            device="cpu",
        )
    if job.output is not None:
        _copy(draft.artifact.path / path.name, job.output)
        if others := [name for name in about["files"] if name != path.name]:
            job.say(f"note: {job.output} is not all of it: {', '.join(others)} lie in {draft.artifact.path}")
    return draft.artifact, report


def _check(exporter: Exporter, preprocessing: bool, precision: str, output: Path | None, force: bool) -> None:
    if precision not in exporter.precisions:
        raise UserError(f"Format {exporter.name} cannot be written in {precision}.", f"It can in {', '.join(exporter.precisions)}.")
    if preprocessing and not getattr(exporter, "preprocesses", True):
        raise UserError(f"Format {exporter.name} holds weights and no function.", "Leave --preprocessing and --resize out.")
    if output is not None and output.exists() and (output.is_dir() or not force):
        raise UserError(f"{output} is there already.", "Name another file with --output, or overwrite it with --force.")
    if output is not None and not output.absolute().parent.is_dir():
        raise UserError(f"There is no folder {output.absolute().parent}.", "Make it first, or write the file elsewhere.")


def _dataset(checkpoint: Artifact, data: Path | None, layout: str | None, exporter: Exporter, say: Say) -> Dataset | None:
    """The data named, else the checkpoint's own; None where that is gone and the format can do without."""
    if data is not None:
        return open_dataset(data, layout)
    made = checkpoint.manifest.dataset
    needs = not exporter.exact or getattr(exporter, "calibrates", False)
    try:
        found = open_again(made, f"checkpoint {checkpoint.ref}", layout) if made else None
    except UserError as error:
        if needs:
            raise UserError(
                error.what, f"Name its new place, or other data: --data FOLDER. Format {exporter.name} is measured on it."
            ) from error
        found = None
    if found is None and needs:
        raise UserError(f"Format {exporter.name} is measured on data, and {checkpoint.ref} names none.", "Name a folder: --data data/prcc.")
    say(f"verified on: {found.root if found else 'rendered people, for the data of the checkpoint is not here'}")
    return found


def _about(job: ExportJob, encoder: InferenceEncoder, plan: ExportPlan, path: Path) -> dict[str, Any]:
    """``export.json``: all that has to be known to use the file without this toolkit."""
    height, width = encoder.image_encoder.config.image_size
    options = encoder.options
    files = sorted(p.relative_to(path.parent).as_posix() for p in path.parent.rglob("*") if p.is_file())
    own = {} if options.per_picture else {"mean": list(options.mean), "std": list(options.std)}
    facts = getattr(job.exporter, "facts", None)
    return {
        "format": _FORMAT,
        "exporter": job.exporter.name,
        "file": path.name,
        "files": files,
        "precision": plan.precision,
        **ExportNetwork.of(encoder, plan).described(),
        "preprocessing": {
            "inside": plan.preprocessing,
            "resize_inside": plan.resize,
            "height": height,
            "width": width,
            "pillow_filter": options.resize,
            "normalisation": "per picture" if options.per_picture else "per channel",
            "formula": "v / 255 of RGB, then (v - mean) / std; per picture: its own mean and sqrt(variance + 1e-5) of each channel",
            **own,
        },
        "vector": {"width": encoder.width, "flip": options.flip, "normalised": options.normalise, "neck": options.neck},
        "model": VectorModel.of(job.checkpoint.ref, encoder).to_json(),
        "versions": {"reidclip": __version__, "torch": torch.__version__, **(facts(path) if facts else {})},
    }


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all."""
    draft = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        os.replace(shutil.copyfile(source, draft), target)
    finally:
        draft.unlink(missing_ok=True)
