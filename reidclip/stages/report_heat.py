"""Heat maps of some queries of a page, by the checkpoints of its evaluations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from reidclip.artifacts.store import Artifact, Store
from reidclip.data.images import UInt8
from reidclip.explain.overlay import overlay, top_of_scale
from reidclip.explain.placing import Cells, on_picture
from reidclip.records import Dataset, Sample
from reidclip.report.thumbnails import HIGHEST, brought_down
from reidclip.stages.choose import Say
from reidclip.stages.explain import explain
from reidclip.stages.explain_job import ExplainJob
from reidclip.stages.report_pictures import Read, picture_of


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Overlays of some samples: per sample one function per checkpoint that gives it, (H, W, 3) RGB."""

    checkpoints: tuple[str, ...]
    overlays: tuple[tuple[Read, ...], ...]


def draw_heat_maps(
    dataset: Dataset,
    samples: Sequence[Sample],
    readers: Sequence[Read],
    artifacts: Sequence[Artifact],
    store: Store,
    *,
    device: str,
    workers: int | None,
    say: Say,
    progress: Callable[[int, int], None],
) -> Drawn | None:
    """Maps of what each checkpoint's feature comes from, all on one scale; None where no checkpoint is at hand.

    Args:
        samples: queries; of a tracklet the frame in its middle.
        readers: decode their pictures, as the page shows them.
        artifacts: evaluations; their checkpoints are found by digest.
    """
    checkpoints = {c.digest: c for a in artifacts if (c := checkpoint_of(a, store)) is not None}
    if len(checkpoints) < len(artifacts):
        lacking = [a.ref for a in artifacts if checkpoint_of(a, store) is None]
        say(f"note: no heat maps of {', '.join(lacking)}: the checkpoint is not in {store.root}, or there is none")
    if not checkpoints or not samples:
        return None
    shown = tuple(dataclasses.replace(s, path=picture_of(s), frames=()) for s in samples)
    only = dataclasses.replace(dataset, samples=shown)
    job = ExplainJob(tuple(checkpoints.values()), only, device=device, workers=workers)
    results = explain(job, progress)
    top = top_of_scale([one for result in results for one in result.heat])
    overlays = []
    for index, read in enumerate(readers):
        overlays.append(tuple(_reader(read, result.heat[index], result.cells, top) for result in results))
    return Drawn(tuple(result.title for result in results), tuple(overlays))


def _reader(read: Read, heat: np.ndarray, cells: Cells, top: float) -> Read:
    def drawn() -> UInt8:
        picture = brought_down(read(), HIGHEST)  # maps of all pixels of a large one would take gigabytes
        return overlay(picture, on_picture(heat, cells, *picture.shape[:2]), top)

    return drawn


def checkpoint_of(evaluation: Artifact, store: Store) -> Artifact | None:
    """What was evaluated, found by its digest; None where it is gone, or was a plain CLIP."""
    nodes = store.lineage(evaluation).inputs
    return next((node.artifact for node in nodes if node.role == "checkpoint" and node.artifact is not None), None)
