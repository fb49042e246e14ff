"""From a planned training to what a method builds its stages from: everything loaded, checked and on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reidclip.clip.load import load_clip
from reidclip.data.cache import Cache
from reidclip.data.clips import cut
from reidclip.data.loader import ImageSource
from reidclip.errors import UserError
from reidclip.interfaces import StageContext
from reidclip.records import Dataset, LabelMap, Sample
from reidclip.stages.blurred_faces import face_blur
from reidclip.stages.broken_pictures import without_broken
from reidclip.stages.read_prompts import read_prompts
from reidclip.stages.train_job import Progress, TrainJob
from reidclip.stages.train_run import notes_on_broken
from reidclip.stages.use_masks import KEEP, keep_file, shielding_of, with_masks
from reidclip.train.device import pick_device
from reidclip.train.settings import TrainingSettings

_MOST_CAMERAS = 10_000


def build_context(job: TrainJob, labels: LabelMap, train: tuple[Sample, ...], progress: Progress | None = None) -> StageContext:
    """Load what the stages need, on the job's device; the random state is set here, so that a run depends on its seed alone."""
    device = pick_device(job.device)
    torch.manual_seed(job.seed)
    s = job.settings
    cameras = _camera_embeddings(job.dataset, train) if s.sie_camera else 0
    clip = load_clip(
        s.network, image_size=(s.height, s.width), stride=s.stride, device=device, sie_cameras=cameras, sie_coefficient=s.sie_coefficient
    )
    if clip.image_encoder.config.is_resnet:  # convolutions run 1.4 times faster on the CPU with channels last; same results
        clip.image_encoder.to(memory_format=torch.channels_last)
    masks = job.inputs.get("masks")
    if masks:
        train = with_masks(masks, train)
        for path in (path for sample in train for path in sample.pictures):
            masks.file(keep_file(path))  # a mask that was changed after it was written must not train anything
    if job.on_error == "skip":
        train = without_broken(job.dataset, train, job.run_folder(), job.workers, progress)
        for note in notes_on_broken(job):
            job.say(f"note: {note}")
    for note in job.notes_on_samples():
        job.say(f"note: {note}")
    if isinstance(s, TrainingSettings) and any(sample.frames for sample in train):
        whole, train = train, cut(train, s.piece_frames)
        told = f"cut into {len(train)} pieces" if s.piece_frames else "taken whole"
        job.say(f"tracklets: {len(whole)}, {told}; every time one comes, a clip of {s.clip_frames} frames is drawn of it")
    cache = Cache(job.cache, job.store.cache_dir, masks.digest if masks else "", say=job.say, progress=progress)
    keep = masks.path / KEEP if masks else None
    parsing = job.inputs.get("parsing")
    blur = face_blur(job.dataset, train, parsing, say=job.say, workers=job.workers, progress=progress) if parsing else None
    source = ImageSource.of(job.dataset, train, masks=keep, cache=cache, shielding=shielding_of(masks), decoding=s.decode, blur=blur)
    prompts = job.inputs.get("prompts")
    return StageContext(
        settings=s,
        clip=clip,
        train=train,
        labels=labels,
        source=source,
        device=device,
        seed=job.seed,
        workers=job.workers,
        precision=job.precision,
        prompts=read_prompts(prompts, clip, labels) if prompts else None,
        progress=progress,
        cache=job.run_folder(),
    )


def _camera_embeddings(dataset: Dataset, train: Sequence[Sample]) -> int:
    """How many camera embeddings the data asks for: cameras are numbered from 0, those of joined data without gaps.

    Raises:
        UserError: a number that counts no cameras, or a data set whose rules take something else for them.
    """
    other = next((sample for sample in train if sample.camera is not None), None)
    if other is not None:
        key = "the data set names no cameras" if other.camera == -1 else f"its number {other.camid} is not camera {other.camera}"
        raise UserError(
            f"There is no camera embedding for {_named(dataset, other)}: {key}.", "Leave camera embeddings out with --set sie_camera=false."
        )
    highest = max(train, key=lambda sample: sample.camid)
    if highest.camid >= _MOST_CAMERAS:
        raise UserError(
            f"Camera {highest.camid} ({_named(dataset, highest)}) asks for as many camera embeddings; at most {_MOST_CAMERAS} make sense.",
            "Number the cameras from 0, or leave them out with --set sie_camera=false.",
        )
    return highest.camid + 1


def _named(dataset: Dataset, sample: Sample) -> str:
    """The picture for a message: of joined data by its whole path, as the relative one is nobody's."""
    return str(dataset.absolute(sample)) if dataset.sources else sample.path
