"""The encoder that an evaluation asks: loaded once, however many data sets it is asked about."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from reidclip.artifacts.artifact import Artifact
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.errors import UserError
from reidclip.records import Dataset, Sample
from reidclip.stages.trained_on import Provenance
from reidclip.train.device import pick_device

if TYPE_CHECKING:
    from reidclip.stages.evaluate import EvaluateJob


def load_encoder(job: EvaluateJob) -> InferenceEncoder:
    """The checkpoint's encoder, its digests verified, or the plain CLIP's, on the job's device and with its settings.

    Raises:
        UserError, WorkError: a file is missing, broken or changed.
    """
    device = pick_device(job.device)
    if job.checkpoint is not None:
        return load_checkpoint(job.checkpoint, device, job.settings.flip)
    clip = load_clip(job.clip, device=device)
    encoder = InferenceEncoder(clip.image_encoder, InferenceOptions(mean=clip.mean, std=clip.std)).eval()
    return _as_asked(encoder, job.settings.flip)


def load_checkpoint(checkpoint: Artifact, device: torch.device, flip: bool | None = None) -> InferenceEncoder:
    """A checkpoint's encoder, its digests verified.

    Args:
        flip: average each feature with that of the mirrored picture; None: as the encoder was saved.

    Raises:
        UserError, WorkError: a file is missing, broken or changed.
    """
    for name in ("encoder.safetensors", "encoder.json"):
        checkpoint.file(name)  # verifies the digest
    return _as_asked(InferenceEncoder.load(checkpoint.path, device), flip)


def _as_asked(encoder: InferenceEncoder, flip: bool | None) -> InferenceEncoder:
    if flip is not None:  # some encoders are saved so that they see both mirror images (Simple-CCReID's)
        encoder.options = dataclasses.replace(encoder.options, flip=flip)
    if encoder.image_encoder.config.is_resnet:
        encoder.to(memory_format=torch.channels_last)
    return encoder


def check_cameras(encoder: InferenceEncoder, samples: Sequence[Sample], dataset: Dataset, provenance: Provenance) -> None:
    """The encoder's camera embeddings, where it has some, are those of this data.

    Numbers of other data name other cameras, even where they happen to exist, and joined data sets number theirs anew.

    Raises:
        UserError: they are not, or a camera has none.
    """
    known = encoder.image_encoder.config.sie_cameras
    if not known:
        return
    if provenance.relation in ("other", "source"):
        whose = " + ".join(provenance.sources)
        why = "joined data numbers its cameras anew" if provenance.relation == "source" else "the same numbers are other cameras there"
        raise UserError(
            f"The encoder has embeddings of {known} cameras of {whose}; those of {dataset.root} are not among them: {why}.",
            "Fine-tune with --set sie_camera=false to evaluate on other data.",
        )
    unknown = sorted({s.camid for s in samples if s.camid >= known})
    if unknown:
        raise UserError(
            f"The encoder has embeddings of {known} cameras; camera {unknown[0]} of the data was not in its training.",
            "Evaluate on the cameras it was trained with, or fine-tune with --set sie_camera=false.",
        )
