"""``reidclip profile`` as a function: what checkpoints cost, beside what they reach. Reads artifacts, writes none."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reidclip.artifacts.store import Artifact, Store
from reidclip.clip.inference import CONFIG_FILE, WEIGHTS_FILE, InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.errors import UserError
from reidclip.profiling.count import count_flops, count_parameters
from reidclip.profiling.memory import peak_bytes_cpu, peak_bytes_cuda
from reidclip.profiling.speed import images_per_second, prepare
from reidclip.stages.choose import Say, checkpoint_for
from reidclip.stages.profile_results import Result, evaluations_of, protocols_of, results_side_by_side
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ProfileJob:
    """What is measured, and how.

    Attributes:
        checkpoints: one row each.
        clips: specs of plain CLIPs, such as students learn from; one row each, behind those.
        batch_size: pictures per forward.
        repeats: forwards that are timed; the median counts.
        memory: measure peak memory too.
        protocols: whose results stand beside the costs; empty: all that there are.
        threads: of a CPU; None leaves torch's own number.
    """

    checkpoints: tuple[Artifact, ...]
    store: Store
    batch_size: int = 32
    repeats: int = 10
    memory: bool = True
    protocols: tuple[str, ...] = ()
    device: str = "auto"
    precision: str = "fp32"
    threads: int | None = None
    clips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """One checkpoint, or the image encoder of a plain CLIP (``checkpoint`` is its spec).

    Attributes:
        parameters: of the encoder as inference uses it.
        trained, in_training: parameters that the fine-tuning changed, and all that it held; None for checkpoints that do not tell.
        flops: operations per picture, a multiplication and its addition as two; ``macs`` is half of it.
        images_per_second: of the network alone, without reading pictures.
        peak_bytes: peak memory of one batch, weights included; None when it was not measured.
        peak_kind: what that number is: "cuda: allocated", "cpu: resident growth", or "".
        disk_bytes: size of the files that inference needs.
        width: length of a feature.
        image_size: (height, width) in pixels.
        results: by protocol.
    """

    checkpoint: str
    method: str | None
    parameters: int
    trained: int | None
    in_training: int | None
    flops: int
    macs: int
    images_per_second: float
    peak_bytes: int | None
    peak_kind: str
    disk_bytes: int
    width: int
    image_size: tuple[int, int]
    results: dict[str, Result]


def plan_profile(
    refs: Sequence[str],
    store: Store,
    *,
    batch_size: int = 32,
    repeats: int = 10,
    memory: bool = True,
    protocols: Sequence[str] = (),
    device: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
    clips: Sequence[str] = (),
    say: Say = lambda text: None,
) -> ProfileJob:
    """Decide what is measured.

    Args:
        refs: checkpoints; none takes the newest, unless there are ``clips``, specs of plain CLIPs.

    Raises:
        UserError: no such checkpoint, device or precision; a protocol that none of them was evaluated by.
    """
    check_precision(precision, pick_device(device))
    chosen = [store.open(ref, kind="checkpoint") for ref in refs]
    if not chosen and not clips:
        chosen = [checkpoint_for(None, None, store, say, ", or bring one from elsewhere with reidclip import")]
    checkpoints = tuple({a.digest: a for a in chosen}.values())
    known = {name for a in checkpoints for one in evaluations_of(a, store) for name in protocols_of(one)}
    for name in protocols:
        if name not in known:
            told = f"No evaluation in {store.root} tells of protocol '{name}' for {', '.join(a.ref for a in checkpoints)}."
            raise UserError(told, f"Known: {', '.join(sorted(known)) or 'none'}. Make one with `reidclip evaluate`.")
    return ProfileJob(
        checkpoints, store, batch_size, repeats, memory, tuple(protocols), device, precision, threads, tuple(dict.fromkeys(clips))
    )


def profile(job: ProfileJob, progress: Progress = lambda done, total: None) -> list[Profile]:
    """Measure every checkpoint and every plain CLIP, in order.

    Raises:
        UserError: a CLIP that cannot be loaded.
        WorkError: a damaged checkpoint, or a process that failed for want of memory.
    """
    before = torch.get_num_threads()
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    try:
        rows = []
        results = results_side_by_side(job.checkpoints, job.store, job.protocols)
        todo = len(job.checkpoints) + len(job.clips)
        for artifact in job.checkpoints:
            rows.append(_of_checkpoint(job, artifact, results[artifact.digest]))
            progress(len(rows), todo)
        for spec in job.clips:
            rows.append(_of_clip(job, spec))
            progress(len(rows), todo)
        return rows
    finally:
        torch.set_num_threads(before)


def _of_checkpoint(job: ProfileJob, artifact: Artifact, results: dict[str, Result]) -> Profile:
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        artifact.file(name)  # verifies the digest
    told = artifact.manifest.config.get("parameters")
    trained, frozen = (told.get("trained"), told.get("frozen")) if isinstance(told, dict) else (None, None)
    in_training = None if trained is None or frozen is None else trained + frozen
    row = _measured(job, artifact.path, artifact.ref)
    return dataclasses.replace(row, method=artifact.manifest.method, trained=trained, in_training=in_training, results=results)


def _of_clip(job: ProfileJob, spec: str) -> Profile:
    """Of a plain CLIP's image encoder, in a folder as a checkpoint has it."""
    clip = load_clip(spec)
    with tempfile.TemporaryDirectory() as folder:
        InferenceEncoder(clip.image_encoder, InferenceOptions(mean=clip.mean, std=clip.std)).save(Path(folder))
        return _measured(job, Path(folder), spec)


def _measured(job: ProfileJob, folder: Path, name: str) -> Profile:
    """What the encoder in a folder costs."""
    encoder = prepare(InferenceEncoder.load(folder, pick_device(job.device)))
    flops = count_flops(encoder)
    peak, kind = _peak(job, folder, encoder)
    return Profile(
        checkpoint=name,
        method=None,
        parameters=count_parameters([encoder]),
        trained=None,
        in_training=None,
        flops=flops,
        macs=flops // 2,
        images_per_second=images_per_second(encoder, job.batch_size, job.repeats, job.precision),
        peak_bytes=peak,
        peak_kind=kind,
        disk_bytes=sum((folder / file).stat().st_size for file in (WEIGHTS_FILE, CONFIG_FILE)),
        width=encoder.width,
        image_size=encoder.image_encoder.config.image_size,
        results={},
    )


def _peak(job: ProfileJob, folder: Path, encoder: InferenceEncoder) -> tuple[int | None, str]:
    device = next(encoder.parameters()).device
    if not job.memory or device.type not in ("cpu", "cuda"):
        return None, ""
    if device.type == "cuda":
        return peak_bytes_cuda(encoder, job.batch_size, job.precision), "cuda: allocated"
    return peak_bytes_cpu(folder, job.batch_size, torch.get_num_threads(), job.precision), "cpu: resident growth"


def how(job: ProfileJob) -> dict[str, Any]:
    """How it was measured, as plain values."""
    device = pick_device(job.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    threads = job.threads if job.threads is not None else torch.get_num_threads()
    return {
        "device": name,
        "threads": threads if device.type == "cpu" else None,
        "precision": job.precision,
        "batch_size": job.batch_size,
        "repeats": job.repeats,
        "torch": torch.__version__,
    }


def as_json(job: ProfileJob, rows: Sequence[Profile]) -> dict[str, Any]:
    """Rows and how they were measured, as plain values for JSON."""
    return {"measured": how(job), "checkpoints": [dataclasses.asdict(row) for row in rows]}
