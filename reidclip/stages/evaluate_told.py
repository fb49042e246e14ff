"""What an evaluation tells beside its rankings: one entry of metrics.json per protocol, and what a tracklet's feature is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reidclip.evaluation.protocols import Evaluation
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.records import Sample

if TYPE_CHECKING:
    from reidclip.stages.evaluate import EvaluateJob


def of_tracklets(samples: Sequence[Sample], settings: EvaluateSettings) -> dict[str, Any]:
    """What is to be known of a tracklet's feature; nothing where samples are pictures."""
    if not any(s.frames for s in samples):
        return {}
    clip = {"frames": settings.clip_frames, "stride": settings.clip_stride}
    counts = {"tracklets": len(samples), "frames": sum(len(s.pictures) for s in samples)}
    return {**counts, "of_a_tracklet": "mean over its clips of the mean over their frames", "clip": clip}


def told(result: Evaluation, job: EvaluateJob) -> dict[str, Any]:
    """One protocol's entry in metrics.json: shares in 0..1, the published ones among them, and what was trained on."""
    metrics = result.metrics
    entry = {**dataclasses.asdict(metrics), "rule": result.protocol.rule.value, **job.provenance.to_json()}
    if not result.protocol.reports_map:
        entry |= {"mAP": None, "mINP": None, "mAP_interval": None}
    row = job.comparison.rows.get(result.protocol.name)
    if row is not None:
        entry["published"] = {
            "R1": row.R1 / 100,
            "mAP": row.mAP / 100,
            "difference": {"R1": metrics.R1 - row.R1 / 100, "mAP": metrics.mAP - row.mAP / 100},
            **row.model_dump(include={"method", "recipe", "source", "status", "note"}),
        }
    return entry
