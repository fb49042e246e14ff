"""What goes into a gallery index: ``vectors`` artifacts named, those extracted now from data, or the newest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.store import Store
from reidclip.errors import UserError
from reidclip.gallery.model import VectorModel
from reidclip.gallery.query_encoder import ZERO_SHOT
from reidclip.gallery.vectors import VECTORS_FILE, VectorSet, read_vectors
from reidclip.stages.choose import Say
from reidclip.stages.extract import ExtractJob, extract, plan_extract

Progress = Callable[[str, int, int], None]
_BLOCK = 65_536


@dataclass(frozen=True)
class Inputs:
    """Vectors that are there, and those that are extracted first.

    Attributes:
        vectors: ``vectors`` artifacts.
        jobs: extractions of data that was named instead.
    """

    vectors: tuple[Artifact, ...]
    jobs: tuple[ExtractJob, ...] = ()

    def plan(self) -> dict[str, Any]:
        """For --dry-run and the manifest."""
        return {"vectors": [a.ref for a in self.vectors], "extracts": [job.plan() for job in self.jobs]}

    def made(self, progress: Progress) -> tuple[Artifact, ...]:
        """All of them as artifacts, extracting what is not there."""
        found = list(self.vectors)
        for job in self.jobs:
            found.append(extract(job, lambda done, total: progress("extract", done, total)))
            job.say(f"wrote vectors/{found[-1].ref}")
        return tuple(found)


def find_inputs(
    sources: Sequence[str], store: Store, say: Say, *, checkpoint: str | None = None, clothes: bool = False, device: str = "auto"
) -> Inputs:
    """Sort what was named: folders, pictures and videos are extracted, everything else is a reference of ``vectors``.

    Args:
        sources: empty takes the newest vectors.
        checkpoint: what data is extracted with; None takes what `plan_extract` takes, "zero-shot:NAME" a plain CLIP.
        clothes: also describe the clothes of what is extracted.

    Raises:
        UserError: there are no vectors, or see `plan_extract`.
    """
    if not sources:
        newest = store.newest("vectors")
        if newest is None:
            raise UserError(f"There are no vectors in {store.root}.", "Make some: reidclip extract DATA. Or name the data's folder here.")
        say(f"vectors: {newest.ref} (the newest)")
        return Inputs((newest,))
    data = [Path(source) for source in sources if _is_data(source)]
    vectors = tuple(store.open(source, kind="vectors") for source in sources if not _is_data(source))
    if checkpoint and not data:
        raise UserError("--checkpoint says what data is extracted with, and no data was named.", "Leave it out.")
    if not data:
        return Inputs(vectors)
    plain = checkpoint.removeprefix(ZERO_SHOT) if checkpoint and checkpoint.startswith(ZERO_SHOT) else None
    made_by = None if plain else checkpoint
    job = plan_extract(data, store, checkpoint=made_by, zero_shot=plain is not None, clip=plain, clothes=clothes, device=device, say=say)
    return Inputs(vectors, (job,))


def _is_data(source: str) -> bool:
    """A path of something that is no artifact: references may name folders of artifacts too."""
    path = Path(source)
    return path.exists() and not (path / "manifest.json").is_file()


def read_sets(vectors: Sequence[Artifact], model: VectorModel | None, whose: str) -> list[VectorSet]:
    """The sets, all of one model: ``model`` where an index has one, which ``whose`` names.

    Raises:
        UserError: vectors of different models, or none at all. WorkError: a damaged file.
    """
    sets = []
    for artifact in vectors:
        found = read_vectors(artifact)
        if not len(found.items):
            raise UserError(f"Vectors {artifact.ref} hold no picture.", "Extract some: reidclip extract DATA.")
        if model is None:
            model, whose = found.model, f"vectors {artifact.ref}"
        model.check_same(found.model, whose, f"vectors {artifact.ref}")
        sets.append(found)
    return sets


def vector_blocks(vectors: Sequence[Artifact], fresh: Sequence[Sequence[int]], told: Callable[[int], None]) -> Iterator[np.ndarray]:
    """The vectors of these rows of each artifact, in pieces (B, D): few are in memory at once.

    Args:
        told: hears how many were given so far.
    """
    done = 0
    for artifact, rows in zip(vectors, fresh, strict=True):
        with safe_open(artifact.file(VECTORS_FILE), framework="np") as file:
            whole = file.get_slice("vectors")
            wanted = np.asarray(rows, dtype=np.int64)
            count = whole.get_shape()[0]
            for start in range(0, count, _BLOCK):
                here = wanted[(wanted >= start) & (wanted < start + _BLOCK)] - start
                if len(here):
                    block = whole[start : min(start + _BLOCK, count)]
                    done += len(here)
                    yield block if len(here) == len(block) else block[here]
                    told(done)
