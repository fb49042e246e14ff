"""What a plan says of its data: where it lies, and of joined data what each source gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reidclip.records import Dataset, Sample


def described_data(dataset: Dataset) -> dict[str, Any]:
    """Folder and layout, for --dry-run and manifests."""
    return {"root": str(dataset.root), "layout": dataset.layout}


def of_sources(dataset: Dataset, train: Sequence[Sample]) -> dict[str, Any]:
    """Of joined data: domain -> folder, layout, and how many identities, cameras and pictures of it are trained on; else nothing."""
    if not dataset.sources:
        return {}
    by_domain: dict[str, list[Sample]] = {domain: [] for domain in dataset.sources}
    for sample in train:
        by_domain[sample.path.partition("/")[0]].append(sample)
    return {"sources": {domain: _counted(dataset.sources[domain], samples) for domain, samples in by_domain.items()}}


def _counted(source: Dataset, samples: Sequence[Sample]) -> dict[str, Any]:
    cameras = {camera for s in samples if (camera := s.camid if s.camera is None else s.camera) >= 0}
    return {
        **described_data(source),
        "identities": len({s.pid for s in samples}),
        "cameras": len(cameras),
        "training pictures": sum(len(s.pictures) for s in samples),
    }


def roots_by_domain(dataset: Dataset) -> dict[str, Any]:
    """Of joined data: domain -> folder, layout and number of pictures; else nothing."""
    if not dataset.sources:
        return {}
    return {
        "sources": {
            domain: {**described_data(source), "pictures": len({path for s in source.samples for path in s.pictures})}
            for domain, source in dataset.sources.items()
        }
    }
