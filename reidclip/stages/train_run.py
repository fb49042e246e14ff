"""The run of a planned training: the folder that makes it resumable, its stages in order, and what its artifact tells."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from reidclip.artifacts.draft import Draft
from reidclip.artifacts.durable import write_durable
from reidclip.artifacts.lock import LockedError, exclusive
from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.clip.load import ClipModel
from reidclip.counted import counted
from reidclip.errors import InterruptedRunError, UserError, WorkError
from reidclip.interfaces import StageContext, TrainStage
from reidclip.parallel.processes import is_first
from reidclip.stages.broken_pictures import broken_in
from reidclip.stages.train_job import Progress, TrainJob
from reidclip.stages.use_masks import notes_without_mask
from reidclip.train.loop import LoopOptions, run_stage
from reidclip.train.parameters import parameters_in_training
from reidclip.train.prepare import prepare


def run_stages(job: TrainJob, stages: Sequence[TrainStage], context: StageContext, progress: Progress) -> dict[str, list[dict[str, float]]]:
    """Run a command's stages one after the other, each from its last state.

    Returns:
        history by stage ("stage-0", ...): one row of mean losses per epoch.

    Raises:
        InterruptedRunError: by Ctrl-C; the state was kept.
        UserError: the unfinished run was made with other weights of its CLIP.
        WorkError: another process is at the same run.
    """
    folder = job.run_folder()
    histories = {}
    if job.compiled:
        job.say("compiling the image encoder: the first step takes a minute, on a CPU several")
    for note in notes_of_stages(stages):
        job.say(f"note: {note}")
    prepare(stages, compiled=job.compiled, accumulate=job.accumulate)
    try:
        with _at_work(folder) if is_first() else nullcontext():
            if is_first():
                _check_same_clip(folder / "clip.json", context.clip)
                if any(folder.glob("stage-*.safetensors*")):  # told only now: nobody else is at this run
                    job.say("going on with the unfinished run of this command (--fresh starts over)")
            for number, stage in enumerate(stages):
                title = f"{job.method.name} {job.command}" + (f" {number + 1}/{len(stages)}" if len(stages) > 1 else "")
                options = LoopOptions(context.device, job.precision, folder / f"stage-{number}.safetensors", job.save_seconds)
                histories[f"stage-{number}"] = run_stage(stage, options, partial(progress, title))
    except KeyboardInterrupt:
        raise InterruptedRunError(f"Interrupted; the training state is kept in {folder}.", "Run the same command again to go on.") from None
    return histories


@contextmanager
def _at_work(folder: Path) -> Iterator[None]:
    """Hold a run folder; another process at the same run is a `WorkError`."""
    try:
        with exclusive(folder / "lock"):
            yield
    except LockedError:
        raise WorkError(f"Another process is at this very run ({folder}).", "Wait for it, or change a setting or the seed.") from None


def _check_same_clip(path: Path, clip: ClipModel) -> None:
    """A run goes on with the CLIP that it began with, also when a weights file was replaced meanwhile."""
    if not path.is_file():
        write_durable(path, json.dumps({"clip": clip.spec, "digest": clip.digest}).encode())
        return
    if json.loads(path.read_text(encoding="utf-8"))["digest"] != clip.digest:
        raise UserError(
            f"The unfinished run of this command began with other weights of CLIP '{clip.spec}' ({path.parent}).",
            "Bring them back, or start over with --fresh.",
        )


def describe_run(
    draft: Draft, job: TrainJob, stages: Sequence[TrainStage], context: StageContext, histories: dict[str, list[dict[str, float]]]
) -> None:
    """Write the loss history and what the manifest says of a training."""
    (draft.path / "history.json").write_text(json.dumps(histories, indent=1), encoding="utf-8")
    parameters = parameters_in_training(stages, context.clip, reads_text=job.kind == "prompts" or "prompts" in job.inputs)
    draft.describe(
        config={**job.plan(), "clip_digest": context.clip.digest, "parameters": parameters},
        seed=job.seed,
        method=job.method.name,
        plugin_version=job.method.version,
        dataset=DatasetRef.of(job.dataset),
        inputs=[InputRef.of(artifact, role=role) for role, artifact in job.inputs.items()],
        metrics=last_losses(histories),
        notes=[*job.notes_on_samples(), *notes_on_masks(job), *notes_on_faces(context), *notes_on_broken(job), *notes_of_stages(stages)],
        device=context.device,
    )


@contextmanager
def draft_by_first(job: TrainJob) -> Iterator[Draft | None]:
    """The artifact in the making, in the process that writes it; None in the others."""
    if not is_first():
        yield None
        return
    with job.store.create(job.kind, job.name) as draft:
        yield draft


def notes_on_masks(job: TrainJob) -> list[str]:
    """Training pictures, and frames, that are left out because they have no mask, for the manifest."""
    masks = job.inputs.get("masks")
    return notes_without_mask(masks, job.training_samples()) if masks else []


def notes_on_faces(context: StageContext) -> list[str]:
    """By what faces were blurred, and how many pictures show none, for the manifest."""
    return [context.source.blur.told] if context.source.blur.told else []


def notes_of_stages(stages: Sequence[TrainStage]) -> list[str]:
    """What a method says of its stages; see `reidclip.interfaces.TrainStage`."""
    return [note for stage in stages for note in getattr(stage, "notes", ())]


def notes_on_broken(job: TrainJob) -> list[str]:
    """Training pictures that were left out because they are broken, for the manifest."""
    broken = broken_in(job.run_folder()) if job.on_error == "skip" else {}
    what = counted(len(broken), "broken training picture was left out", "broken training pictures were left out; the first")
    return [f"{what}: {next(iter(broken.values()))}"] if broken else []


def finish_run(job: TrainJob) -> None:
    """Remove the state of a run whose artifact is committed."""
    shutil.rmtree(job.run_folder(), ignore_errors=True)


def start_over(job: TrainJob) -> None:
    """Forget an unfinished run of the same key (--fresh).

    Raises:
        WorkError: another process is at it.
    """
    folder = job.run_folder()
    with _at_work(folder):
        shutil.rmtree(folder, ignore_errors=True)


def last_losses(histories: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Mean losses of the last epoch of every stage, for the manifest."""
    return {f"{stage}/{name}": value for stage, rows in histories.items() if rows for name, value in rows[-1].items()}
