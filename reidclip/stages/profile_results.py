"""What checkpoints reach, out of the evaluations in a store: of one data set side by side, wherever most have been evaluated on one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from reidclip.artifacts.store import Artifact, Store


@dataclass(frozen=True)
class Result:
    """Of one protocol: shares in 0..1 of the newest evaluation of the checkpoint that has it, and the folder of its data set."""

    R1: float
    mAP: float  # noqa: N815 - the field's name
    evaluation: str
    data: str


def evaluations_of(checkpoint: Artifact, store: Store) -> list[Artifact]:
    """Evaluations of this very checkpoint that tell of retrieval, the newest last; other tasks have neither R1 nor mAP."""
    read = [a for a in store.list("evaluation") if any(i.digest == checkpoint.digest for i in a.manifest.inputs)]
    return sorted((a for a in read if protocols_of(a)), key=lambda a: a.manifest.created)


def protocols_of(evaluation: Artifact) -> dict[str, tuple[float, float]]:
    """Protocol -> R1 and mAP."""
    metrics = evaluation.manifest.metrics.items()
    return {name: (float(one["R1"]), float(one["mAP"])) for name, one in metrics if isinstance(one, dict) and {"R1", "mAP"} <= one.keys()}


def results_side_by_side(checkpoints: Sequence[Artifact], store: Store, protocols: Collection[str] = ()) -> dict[str, dict[str, Result]]:
    """Digest of a checkpoint -> protocol -> result.

    Results are of the data set that most of the checkpoints were evaluated on, of several such that evaluated last; a checkpoint that was
    never evaluated on it has those of its own newest.

    Args:
        protocols: which are looked for; empty: all that there are.
    """
    read = {checkpoint.digest: _by_data(evaluations_of(checkpoint, store), protocols) for checkpoint in checkpoints}
    shared = _shared(list(read.values()))
    return {digest: _results(found.get(shared) or found.get(_newest(found), []), protocols) for digest, found in read.items()}


_ByData = Mapping[str | None, list[Artifact]]  # fingerprint of a data set, wherever it lay -> evaluations on it, the newest last


def _by_data(evaluations: Sequence[Artifact], protocols: Collection[str]) -> _ByData:
    found: dict[str | None, list[Artifact]] = {}
    for artifact in evaluations:
        if not protocols or not protocols_of(artifact).keys().isdisjoint(protocols):
            data = artifact.manifest.dataset.fingerprint if artifact.manifest.dataset else None
            found.setdefault(data, []).append(artifact)
    return found


def _shared(read: Sequence[_ByData]) -> str | None:
    """The data set that most have, of several the one evaluated last; None where there are no evaluations."""
    count: dict[str | None, tuple[int, datetime]] = {}
    for found in read:
        for data, evaluations in found.items():
            checkpoints, last = count.get(data, (0, evaluations[-1].manifest.created))
            count[data] = checkpoints + 1, max(last, evaluations[-1].manifest.created)
    return max(count, key=lambda data: count[data], default=None)


def _newest(found: _ByData) -> str | None:
    return max(found, key=lambda data: found[data][-1].manifest.created, default=None)


def _results(evaluations: Sequence[Artifact], protocols: Collection[str]) -> dict[str, Result]:
    """Of one data set, since numbers of two in one row would be taken for one's; a newer evaluation replaces what it has too."""
    return {
        name: Result(r1, mean, artifact.ref, _folder_of(artifact))
        for artifact in evaluations
        for name, (r1, mean) in protocols_of(artifact).items()
        if not protocols or name in protocols
    }


def _folder_of(artifact: Artifact) -> str:
    return " + ".join(part.root for part in artifact.manifest.dataset.parts) if artifact.manifest.dataset else ""
