"""The verification of an export before it is kept: by its vectors beside PyTorch's, and by the protocol where these differ by design."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import WorkError
from reidclip.export.verify import PICTURES, Allowed, as_json, check, compare, cosines, least, stretches
from reidclip.interfaces import ExportedSession, ExportPlan
from reidclip.stages.export_pictures import TrialPictures, normalised, trial_pictures

if TYPE_CHECKING:
    from reidclip.stages.export import ExportJob

_RESIZED = 16  # pictures of their own sizes
_RESIZED_INEXACT = Allowed(0.999, 0.999, 1e-2)  # to the export's own vectors of pictures that Pillow resized: rounding is on both sides
_AT_ONCE = 16  # pictures per call of PyTorch

Progress = Callable[[str, int, int], None]


def verify(job: ExportJob, session: ExportedSession, encoder: InferenceEncoder, plan: ExportPlan, progress: Progress) -> dict[str, Any]:
    """What ``report.json`` says.

    Raises:
        WorkError: the export is not what was asked for; names the worst picture and its numbers.
    """
    cameras = encoder.image_encoder.config.sie_cameras
    trial = trial_pictures(job.dataset, PICTURES, cameras)
    sized = trial.sized(encoder)
    wanted = _wanted(encoder, sized, trial.camera)
    fed = sized if plan.preprocessing else normalised(sized, encoder)

    def inputs(numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        rows = list(numbers)
        return fed[rows], trial.camera[rows] if cameras else None

    checked = compare(session, inputs, wanted, lambda done, total: progress("verify", done, total))
    exact = job.exporter.exact
    allowed = Allowed.of(plan.precision, exact)
    report: dict[str, Any] = {
        "verified": True,
        "runtime": session.name,
        "pictures": trial.source,
        "least_cosine_allowed": allowed.cosine,
        "least_cosine_between_batches_allowed": allowed.alone,
        "largest_difference_of_length_allowed": allowed.length,
        "batches": as_json(checked, trial.paths),
    }
    what = f"The {job.exporter.name} export of {job.checkpoint.ref}"
    check(checked, allowed, trial.paths, what)
    if plan.resize:
        report["resized"] = _resized(
            session, trial, cameras, sized, wanted if exact else None, allowed if exact else _RESIZED_INEXACT, what
        )
    if not exact:
        from reidclip.export.protocol_check import MAX_DROP, protocol_before_after

        assert job.evaluation is not None
        max_drop = float(getattr(job.settings, "max_drop", MAX_DROP))
        report["evaluation"] = protocol_before_after(
            session, encoder, job.evaluation, plan.preprocessing, max_drop, lambda done, total: progress("evaluate", done, total)
        )
    return report


def _wanted(encoder: InferenceEncoder, pictures: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(N, D) float32 of PyTorch."""
    known = torch.from_numpy(camera) if encoder.image_encoder.config.sie_cameras else None
    rows = []
    for start in range(0, len(pictures), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        x = torch.from_numpy(normalised(pictures[part], encoder))
        rows.append(encoder.features(x, None if known is None else known[part]).numpy())
    return np.concatenate(rows)


def _resized(
    session: ExportedSession, trial: TrialPictures, cameras: int, sized: np.ndarray, wanted: np.ndarray | None, allowed: Allowed, what: str
) -> dict[str, Any]:
    """Pictures of their own sizes, one at a time, against PyTorch's vectors of Pillow's resizing.

    Args:
        sized: (N, H, W, 3) uint8, by Pillow.
        wanted: (N, D) of PyTorch; None compares with the export's own vectors of ``sized``, which its rounding cancels out of.

    Raises:
        WorkError: a cosine or a length is not within what is allowed.
    """
    numbers = [i * len(trial) // _RESIZED for i in range(_RESIZED)]

    def alone(pictures: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        camera = [(trial.camera[n : n + 1],) if cameras else () for n in numbers]
        return np.concatenate([session(pictures[n][None], *own) for n, own in zip(numbers, camera, strict=True)])

    given, aim = alone(trial.pictures), alone(sized) if wanted is None else wanted[numbers]
    found, stretched = cosines(given, aim), stretches(given, aim)
    place, longest = least(found), least(-stretched)
    remedy = "Nothing was kept. Leave --resize out, and resize with Pillow."
    if not found[place] >= (asked := allowed.alone):
        raise WorkError(
            f"{what} resizes otherwise than Pillow: the cosine of {trial.paths[numbers[place]]} is {found[place]:.6f} "
            f"(at least {asked} is asked).",
            remedy,
        )
    if not stretched[longest] <= allowed.length:
        raise WorkError(
            f"{what} resizes otherwise than Pillow: the length of the vector of {trial.paths[numbers[longest]]} is off by "
            f"{stretched[longest]:.2%} (at most {allowed.length:.1%} is allowed).",
            remedy,
        )
    return {
        "pictures": _RESIZED,
        "against": "PyTorch" if wanted is not None else "the export's own vectors of pictures that Pillow resized",
        "least_cosine": float(found[place]),
        "least_cosine_allowed": asked,
        "worst_picture": trial.paths[numbers[place]],
        "largest_difference_of_length": float(stretched[longest]),
        "largest_difference_of_length_allowed": allowed.length,
    }
