"""What an inexact format costs: the protocols' results with PyTorch's vectors and with the export's, on all test pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import WorkError
from reidclip.evaluation.protocols import Evaluation, evaluate_protocol, required_samples
from reidclip.export.verify import cosines
from reidclip.interfaces import ExportedSession
from reidclip.stages.blurred_faces import face_blur
from reidclip.stages.evaluate import EvaluateJob
from reidclip.stages.evaluate_encoder import check_cameras
from reidclip.stages.evaluate_features import extract_features

MAX_DROP = 1.0
"""Points of mAP. An evaluation over 200 to 600 queries has a 95 % interval of some 3 to 5 points to either side: what this lets pass is
not told from chance there, while an encoder that 8 bits do not suit loses tens of points."""
_OF_R1 = 2.0
"""Times as much of R1, which counts single queries: where one in fifty changes sides by rounding, to either side and by chance, the
difference over 200 to 600 queries has a deviation of 0.6 to 1 points."""

Vectors = Callable[[Tensor, Tensor | None], Tensor]
"""Pictures (B, 3, H, W) as they were asked for, cameras (B,) -> (B, D)."""


def protocol_before_after(
    session: ExportedSession,
    encoder: InferenceEncoder,
    job: EvaluateJob,
    preprocessing: bool,
    max_drop: float = MAX_DROP,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Evaluate the job's protocols twice, with the toolkit's own reading of pictures and exact ranking.

    Args:
        session: the loaded export; takes uint8 pictures of the encoder's size where ``preprocessing`` is inside.
        encoder: what was exported, float32, on the CPU.
        job: data and protocols.
        max_drop: points of mAP that may be lost in any protocol; of R1 twice as many.
        progress: is told (pictures done, of how many), over both sides.

    Returns:
        for ``report.json``: per protocol R1 and mAP before, after and their difference (all in points), and queries; statistics of the
        vectors' cosines; the allowance.

    Raises:
        WorkError: a protocol lost more than ``max_drop``, or vectors that are not finite.
        UserError: the data does not fit the encoder or the protocols.
    """
    samples = required_samples(job.dataset, job.protocols)
    check_cameras(encoder, samples, job.dataset, job.provenance)
    blur = face_blur(job.dataset, samples, job.parsing, say=job.say, workers=job.workers) if job.parsing else None
    sides = (_Vectors(encoder, encoder.features, False), _Vectors(encoder, _of_session(session, preprocessing), preprocessing))
    found = [
        extract_features(side, job, samples, lambda done, total, n=n: progress(n * total + done, 2 * total), blur)  # type: ignore[misc]
        for n, side in enumerate(sides)
    ]
    before, after = (side.matrix.numpy() for side in found)
    cosine = cosines(after, before)
    if not np.isfinite(cosine).all():
        worst = found[0].paths[int(np.argmin(np.isfinite(cosine)))]
        raise WorkError(f"The export gives no finite vector of {worst}.", "Nothing was kept. Export in float32: --format onnx.")
    results = [[evaluate_protocol(job.dataset, p, side, 0, job.seed) for p in job.protocols] for side in found]
    protocols = {one.protocol.name: _compared(one, other) for one, other in zip(*results, strict=True)}
    _check(protocols, max_drop)
    return {
        "protocols": protocols,
        "pictures": len(samples),
        "cosine": _statistics(cosine, found[0].paths),
        "max_drop": {"mAP": max_drop, "R1": _OF_R1 * max_drop},
        "unit": "points (percent) of R1 and mAP",
    }


class _Vectors(InferenceEncoder):
    """An encoder whose vectors somebody else computes; of clips the mean over the frames' vectors, which is all that an export gives.

    Args:
        encoder: whose size, filter and normalisation pictures are read by.
        vectors: computes.
        grey: pictures are wanted as grey levels / 255, without normalisation.
    """

    def __init__(self, encoder: InferenceEncoder, vectors: Vectors, grey: bool) -> None:
        options = dataclasses.replace(encoder.options, neck="before")  # no heads are needed here
        if grey:
            options = dataclasses.replace(options, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), per_picture=False)
        super().__init__(encoder.image_encoder, options)
        self._of = vectors
        self.eval()

    def features(self, images: Tensor, camera: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, D)."""
        return self._of(images, camera)

    def raw(self, images: Tensor, camera: Tensor | None = None) -> Tensor:
        """(B, T, 3, H, W) -> (B, D)."""
        clips, frames = images.shape[:2]
        found: Tensor = self._of(images.flatten(0, 1), None if camera is None else camera.repeat_interleave(frames))
        return found.reshape(clips, frames, -1).mean(1)


def _of_session(session: ExportedSession, preprocessing: bool) -> Vectors:
    def vectors(images: Tensor, camera: Tensor | None) -> Tensor:
        given = images.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1) if preprocessing else images
        return torch.from_numpy(session(given.numpy(), None if camera is None else camera.numpy()))

    return vectors


def _compared(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    told: dict[str, Any] = {"queries": before.metrics.valid}
    for name in ("R1", "mAP") if before.protocol.reports_map else ("R1",):
        one, other = 100 * getattr(before.metrics, name), 100 * getattr(after.metrics, name)
        told[name] = {"before": one, "after": other, "difference": other - one}
    return told


def _statistics(cosine: np.ndarray, paths: Sequence[str]) -> dict[str, Any]:
    worst = int(np.argmin(cosine))
    low, median = np.quantile(cosine, [0.01, 0.5])
    return {
        "mean": float(cosine.mean()),
        "median": float(median),
        "percentile_1": float(low),
        "least": float(cosine[worst]),
        "worst_picture": paths[worst],
    }


def _check(protocols: Mapping[str, Mapping[str, Any]], max_drop: float) -> None:
    for name, told in protocols.items():
        for metric, allowed in (("R1", _OF_R1 * max_drop), ("mAP", max_drop)):
            if metric in told and -told[metric]["difference"] > allowed:
                raise WorkError(
                    f"Protocol {name} loses {-told[metric]['difference']:.2f} points of {metric} ({told[metric]['before']:.2f} to "
                    f"{told[metric]['after']:.2f}); {allowed:g} may be lost.",
                    "Nothing was kept. Try the other ranges (--set mode=dynamic or static), allow more (--set max_drop=...), or take "
                    "--format onnx.",
                )
