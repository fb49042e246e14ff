"""Rendered bodies that a distillation reads: mesh renders to train on, and words that are true of the people in the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reidclip.bodies.mesh_set import MeshSet, open_meshes
from reidclip.errors import UserError
from reidclip.interfaces import Distiller, DistillNeeds
from reidclip.records import Dataset, Sample
from reidclip.stages.choose import Say
from reidclip.stages.describe_table import true_words


def meshes_for(method: Distiller, needs: DistillNeeds, folder: Path | None, say: Say) -> MeshSet | None:
    """The set of mesh renders in a folder, where the method trains on one.

    Raises:
        UserError: it trains on one and none was named, or the reverse; or the folder holds none.
    """
    if not needs.meshes:
        if folder is not None:
            raise UserError(f"Method '{method.name}' reads no mesh renders under these settings.", "Leave --meshes out.")
        return None
    if folder is None:
        raise UserError(
            f"Method '{method.name}' trains on mesh renders, and no folder of them was named.",
            "Render them with reidclip synth data/meshes --meshes and give --meshes data/meshes; or do without: --set lambda_3d=0.",
        )
    found = open_meshes(folder)
    say(f"meshes: {len(found.dataset.split('train'))} training pictures of {found.table.body} bodies")
    return found


def true_choices(dataset: Dataset, samples: Sequence[Sample]) -> Tensor:
    """(N, 16) int64: which phrase of each pair is true of the person in each picture.

    Raises:
        UserError: a picture of somebody whose body is not known.
    """
    known = true_words(dataset)
    unknown = next((sample for sample in samples if sample.pictures[0] not in known), None)
    if unknown is not None:
        raise UserError(
            f"words=bodies: nothing tells which body is in {dataset.absolute(unknown)}.",
            "Only rendered people have known bodies (reidclip synth); take the teacher's words: --set words=teacher.",
        )
    return torch.from_numpy(np.stack([known[sample.pictures[0]][1] for sample in samples])).long()
