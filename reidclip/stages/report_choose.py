"""Which evaluations a page is about, and where their data lies now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reidclip.artifacts.manifest import DatasetRef, Manifest
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.open_several import open_datasets
from reidclip.errors import ReidclipError, UserError
from reidclip.records import Dataset
from reidclip.stages.choose import Say
from reidclip.stages.report_read import FEATURES, SUMMARY

KIND = "evaluation"
_RETRIEVAL = "Name an evaluation made without --task shape."


@dataclass(frozen=True)
class Group:
    """Evaluations of the same data.

    Attributes:
        artifacts: in the order in which they were named.
        made: the data as their manifests have it; None where they name none.
        dataset: as it is now, checked to be the same; None where it is not at hand.
        notes: why not.
    """

    artifacts: tuple[Artifact, ...]
    made: DatasetRef | None
    dataset: Dataset | None
    notes: tuple[str, ...] = ()


def choose_evaluations(refs: Sequence[str], store: Store, say: Say) -> tuple[tuple[Artifact, ...], tuple[Artifact, ...]]:
    """The evaluations named, else the newest; summaries stand for what they summarise.

    Returns:
        the evaluations, each once, and the summaries.

    Raises:
        UserError: there is none, or one of 3D bodies.
    """
    if not refs:
        newest = store.newest(KIND, lambda manifest: not _of_shapes(manifest))
        if newest is None:
            raise UserError(f"There is no evaluation of re-identification in {store.root}.", "Make one with reidclip evaluate.")
        say(f"evaluation: {newest.ref} (the newest)")
    named = [store.open(ref, kind=KIND) for ref in refs] if refs else [newest] if newest else []
    found: dict[str, Artifact] = {}
    summaries: dict[str, Artifact] = {}
    for artifact in named:
        if SUMMARY in artifact.files:
            summaries[artifact.digest] = artifact
            found |= {part.digest: part for part in _parts(artifact, store, say)}
        elif FEATURES in artifact.files:
            found[artifact.digest] = artifact
        else:
            what = "3D bodies" if _of_shapes(artifact.manifest) else "no features"
            raise UserError(f"Evaluation {artifact.ref} is not of re-identification: it holds {what}.", _RETRIEVAL)
    if not found:
        raise UserError(f"Nothing that {named[0].ref} summarises is in {store.root} any more.", "Evaluate again.")
    return tuple(found.values()), tuple(summaries.values())


def _of_shapes(manifest: Manifest) -> bool:
    return manifest.config.get("task") == "shape"


def _parts(summary: Artifact, store: Store, say: Say) -> list[Artifact]:
    nodes = store.lineage(summary).inputs
    found = [node.artifact for node in nodes if node.kind == KIND and node.artifact is not None]
    lost = [node.ref for node in nodes if node.artifact is None]
    if lost:
        say(f"note: {summary.ref} also summarises {', '.join(lost)}, no longer in the store as they were")
    return found


def group_by_data(artifacts: Sequence[Artifact], data: Sequence[Path], say: Say, strict: bool = True) -> tuple[Group, ...]:
    """Evaluations of the same data side by side, with that data opened.

    Args:
        data: where data sets lie now, in any order; those not named are looked for where their manifests say.
        strict: whether data that changed since is refused; else it is left out, and told.

    Raises:
        UserError: a folder that is no data set of any of them, or data that changed since.
    """
    by_data: dict[str, list[Artifact]] = {}
    for artifact in artifacts:
        made = artifact.manifest.dataset
        by_data.setdefault(made.fingerprint if made else "", []).append(artifact)
    unused = list(data)
    groups = [_group(members, unused, say, strict) for members in by_data.values()]
    if unused:
        told = _told_differences(unused[0], [g.made for g in groups if g.made is not None])
        raise UserError(
            f"{unused[0]} is not the data of {artifacts[0].ref}{' or the others' if len(artifacts) > 1 else ''}: {told}.", _UNCHANGED
        )
    return tuple(groups)


_UNCHANGED = "Name an unchanged copy with --data, evaluate again, or leave the pictures out with --no-pictures."


def _group(members: Sequence[Artifact], unused: list[Path], say: Say, strict: bool) -> Group:
    """Takes out of ``unused`` what it opens."""
    first, made = members[0], members[0].manifest.dataset
    if made is None:
        return Group(tuple(members), None, None, (f"{first.ref} does not say which data it is of: there are no ranked lists.",))
    for roots in _candidates(made, unused):
        dataset = _opened(roots, made)
        if dataset is not None and dataset.fingerprint == made.fingerprint:
            for root in roots:
                unused.remove(root)
            return Group(tuple(members), made, dataset)
    if unused and not all(Path(part.root).is_dir() for part in made.parts):
        return Group(tuple(members), made, None)  # the folder that does not fit is told of
    return _where_it_was(members, made, say, strict)


def _candidates(made: DatasetRef, unused: Sequence[Path]) -> list[list[Path]]:
    """Folders that may be the data: each by itself, of joined data all together."""
    return [list(unused)] if len(made.parts) > 1 and len(unused) == len(made.parts) else [[root] for root in unused]


def _opened(roots: Sequence[Path], made: DatasetRef) -> Dataset | None:
    for root in roots:
        if not root.is_dir():
            raise UserError(f"There is no folder {root}.", "Check the path given with --data.")
    try:
        return open_datasets(roots, [part.layout for part in made.parts] if len(roots) == len(made.parts) else None)
    except ReidclipError:
        return None


def _told_differences(root: Path, known: Sequence[DatasetRef]) -> str:
    for made in known:
        dataset = _opened([root], made)
        if dataset is not None:
            return "; ".join(made.differences(DatasetRef.of(dataset)))
    return f"it is no {' or '.join(dict.fromkeys(made.layout for made in known))} data set"


def _where_it_was(members: Sequence[Artifact], made: DatasetRef, say: Say, strict: bool) -> Group:
    first = members[0]
    gone = next((part.root for part in made.parts if not Path(part.root).is_dir()), None)
    if gone is not None:
        return _without(members, made, f"The data of {first.ref} is no longer at {gone}", say)
    say(f"data: {' + '.join(part.root for part in made.parts)} (of evaluation {first.ref})")
    try:
        dataset = open_datasets([part.root for part in made.parts], [part.layout for part in made.parts])
        differs = "; ".join(made.differences(DatasetRef.of(dataset)))
    except ReidclipError as error:
        if strict:
            raise
        return _without(members, made, error.what.rstrip("."), say)
    if not differs:
        return Group(tuple(members), made, dataset)
    told = f"The data at {made.root} is not as evaluation {first.ref} read it: {differs}"
    if strict:
        raise UserError(f"{told}.", _UNCHANGED)
    return _without(members, made, told, say)


def _without(members: Sequence[Artifact], made: DatasetRef, why: str, say: Say) -> Group:
    note = f"{why}: the page shows no pictures, and of ranked lists the queries alone."
    say(f"note: {note} Name its place with --data.")
    return Group(tuple(members), made, None, (note,))
