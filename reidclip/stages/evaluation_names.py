"""What evaluations are called where the user names none: by checkpoint and data, different data sets never alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from reidclip.artifacts.names import safe_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.join import join
from reidclip.records import Dataset

KIND = "evaluation"


def evaluation_name(subject: str, dataset: Dataset, store: Store, *, elsewhere: bool, beside: Sequence[Dataset] = ()) -> str:
    """Checkpoint and data set: "ccaf-prcc", with folders above the data set's as far as other data has the name already.

    Args:
        subject: the checkpoint's name, or the plain CLIP's.
        dataset: what it is evaluated on.
        store: where the evaluation will lie, whose evaluations have their names.
        elsewhere: the checkpoint was trained on another data set, or on more: "ccaf-prcc-on-ltcc".
        beside: what is evaluated by the same command.
    """
    others = [other for other in beside if other.root != dataset.root]
    made = store.list(KIND)
    first = ""
    for depth in range(1, len(dataset.root.resolve().parts)):
        called = _called(dataset, depth)
        name = _joined(subject, called, elsewhere)
        first = first or name
        if all(_called(other, depth) != called for other in others) and not any(_is_others(a, name, dataset) for a in made):
            return name
    return first


def names_apart(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    """Folder names, with their parents' where two are alike."""
    count = Counter(d.name for d in datasets)
    return tuple(d.name if count[d.name] == 1 else f"{d.root.parent.name}/{d.name}" for d in datasets)


def summary_name(subject: str, protocol: str | None, datasets: Sequence[Dataset], seeds: Sequence[int]) -> str:
    """Checkpoint and protocol of generalisation, or the data sets as they would be called if they were joined; and how many seeds."""
    where = protocol or f"on-{join([replace(d, samples=(), draws={}) for d in datasets]).name}"
    return safe_name(f"{subject}-{where}{f'-{len(seeds)}-seeds' if seeds else ''}")


def _joined(subject: str, called: str, elsewhere: bool) -> str:
    if elsewhere:
        return safe_name(f"{subject}-on-{called}")
    return safe_name(subject if subject.endswith(f"-{safe_name(called)}") else f"{subject}-{called}")


def _called(dataset: Dataset, depth: int) -> str:
    """Its name, behind the names of as many folders above it, less one."""
    above = [folder.lower() for folder in reversed(dataset.root.resolve().parts[1:-1])]
    return "-".join(reversed([dataset.name, *above][:depth]))


def _is_others(made: Artifact, name: str, dataset: Dataset) -> bool:
    """Whether an evaluation of other data is called so; the folder's own data may have changed since."""
    of = made.manifest.dataset
    return made.name == name and of is not None and of.fingerprint != dataset.fingerprint and of.root != str(dataset.root)
