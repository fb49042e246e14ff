"""The verification of an export before it is kept: by cosines to PyTorch, or by the protocol where numbers differ by design."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import WorkError
from reidclip.export.verify import BOUNDS, PICTURES, as_json, check, compare, cosines
from reidclip.interfaces import ExportedSession, ExportPlan
from reidclip.stages.export_pictures import TrialPictures, normalised, trial_pictures

if TYPE_CHECKING:
    from reidclip.stages.export import ExportJob

_RESIZED = 16  # pictures of their own sizes
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
    report: dict[str, Any] = {
        "verified": True,
        "runtime": session.name,
        "pictures": trial.source,
        "least_cosine_allowed": BOUNDS[plan.precision] if exact else None,
        "batches": as_json(checked, trial.paths),
    }
    what = f"The {job.exporter.name} export of {job.checkpoint.ref}"
    if exact:
        check(checked, BOUNDS[plan.precision], trial.paths, what)
    if plan.resize:
        report["resized"] = _resized(session, encoder, trial, wanted, BOUNDS[plan.precision] if exact else None, what)
    if not exact:
        from reidclip.export.protocol_check import MAX_DROP, protocol_before_after

        assert job.evaluation is not None
        allowed = float(getattr(job.settings, "max_drop", MAX_DROP))
        report["evaluation"] = protocol_before_after(
            session, encoder, job.evaluation, plan.preprocessing, allowed, lambda done, total: progress("evaluate", done, total)
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
    session: ExportedSession, encoder: InferenceEncoder, trial: TrialPictures, wanted: np.ndarray, bound: float | None, what: str
) -> dict[str, Any]:
    """Pictures of their own sizes, one at a time, against Pillow's resizing and PyTorch.

    Raises:
        WorkError: a cosine is below the bound, where there is one.
    """
    numbers = [i * len(trial) // _RESIZED for i in range(_RESIZED)]
    cameras = encoder.image_encoder.config.sie_cameras
    given = [session(trial.pictures[n][None], trial.camera[n : n + 1]) if cameras else session(trial.pictures[n][None]) for n in numbers]
    found = cosines(np.concatenate(given), wanted[numbers])
    least = int(np.argmin(np.where(np.isnan(found), -2, found)))
    if bound is not None and not found[least] >= bound:
        raise WorkError(
            f"{what} resizes otherwise than Pillow: the cosine of {trial.paths[numbers[least]]} is {found[least]:.6f} "
            f"(at least {bound} is asked).",
            "Nothing was kept. Leave --resize out, and resize with Pillow.",
        )
    return {
        "pictures": _RESIZED,
        "least_cosine": float(found[least]),
        "least_cosine_allowed": bound,
        "worst_picture": trial.paths[numbers[least]],
    }
