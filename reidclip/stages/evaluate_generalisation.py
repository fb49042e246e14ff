"""Whether a checkpoint and targets are those of a protocol of generalisation; checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.lineage import LineageNode
from reidclip.artifacts.manifest import DatasetRef
from reidclip.artifacts.store import Store
from reidclip.errors import UserError
from reidclip.evaluation.generalisation import Generalisation, fitting, variants
from reidclip.records import Dataset
from reidclip.stages.choose import Say
from reidclip.stages.lineage_gaps import gaps
from reidclip.stages.trained_on import is_published, same_folder, sources_of, train_splits_of


@dataclass(frozen=True)
class Seen:
    """Data that a checkpoint, or an artifact that it was made from, was made from.

    Attributes:
        by: the artifact, "prompts/fgdi-p1@v1".
        domain: name of the data set among its sources.
    """

    by: str
    domain: str
    data: DatasetRef


def choose_variant(name: str, checkpoint: Artifact | None, say: Say) -> Generalisation:
    """The protocol of that name; of a family of several the one that fits the checkpoint's sources, which is told.

    Raises:
        UserError: there is none, none fits, or a plain CLIP leaves open which.
    """
    candidates = variants(name)
    if len(candidates) == 1:
        return candidates[0]
    if checkpoint is None:
        raise UserError(f"A plain CLIP has no sources that say which variant of {name} is meant.", f"Name it: {_names(candidates)}.")
    protocol = fitting(candidates, _layouts(checkpoint))
    say(f"protocol: {protocol.name} (by the sources of checkpoint {checkpoint.ref})")
    return protocol


def check_unseen(protocol: Generalisation, checkpoint: Artifact, targets: Sequence[Dataset], say: Say) -> None:
    """No target was trained on: neither by the checkpoint nor by what it was made from (prompts, masks, ...), as far as lineage knows.

    Raises:
        UserError: a target's layout (of published data), fingerprint or folder is among the sources.
    """
    tree = _lineage(checkpoint)
    seen = list(_seen(tree))
    for target in targets:
        for source in seen:
            if _is_same_data(source.data, target):
                raise UserError(
                    f"{target.root} ({target.layout}) is a target of protocol {protocol.name}, but {source.by} was made from "
                    f"{_how_same(source.data, target)}: source {source.domain} ({source.data.layout}) at {source.data.root}.",
                    f"Take a checkpoint trained without it: {train_command(protocol, checkpoint)}",
                )
    for gap in gaps(tree):
        say(f"note: {gap}")


def check_sources(protocol: Generalisation, checkpoint: Artifact) -> None:
    """The checkpoint was trained on the protocol's sources, all of them and nothing else, and on the splits that it names.

    So was what it was made from by training, such as prompts with an encoder warmed up for them, as far as lineage knows.

    Raises:
        UserError: one sentence per difference.
    """
    faults = _faults(protocol, _layouts(checkpoint), train_splits_of(checkpoint))
    for node in _trained(_lineage(checkpoint).inputs):
        others = _faults(protocol, _layouts(node), train_splits_of(node))
        faults += [f"Its {node.kind} {node.ref}: {fault}" for fault in others]
    if faults:
        raise UserError(
            f"Checkpoint {checkpoint.ref} is not trained for protocol {protocol.name}. {' '.join(faults)}",
            f"Train one: {train_command(protocol, checkpoint)}",
        )


def _faults(protocol: Generalisation, layouts: Sequence[str], splits: tuple[str, ...]) -> list[str]:
    """How a training on these sources and splits differs from the protocol's, in sentences."""
    faults = [f"Source {name} is missing." for name in protocol.sources if name not in layouts]
    faults += [f"Source {name} is none of its sources." for name in dict.fromkeys(layouts) if name not in protocol.sources]
    faults += [f"Source {name} was joined {layouts.count(name)} times." for name in protocol.sources if layouts.count(name) > 1]
    if splits != protocol.train_splits:
        meant = "all pictures of its sources" if protocol.whole else "the training split of its sources alone"
        faults.append(f"It was trained on the splits {', '.join(splits)}; the protocol trains on {meant}.")
    return faults


def reported_protocol(protocol: Generalisation, target: Dataset) -> str:
    """The target's own protocol that results of generalisation are of; another of its protocols would give another number.

    Raises:
        UserError: the target lacks it; the remedy holds what its layout noted, which names what is missing.
    """
    if target.protocol(protocol.evaluated) is None:
        others = [f"--protocol {p.name}" for p in target.protocols]
        instead = f"To evaluate it otherwise, add {' or '.join(others)}." if others else ""
        raise UserError(
            f"Protocol {protocol.name} is evaluated under protocol {protocol.evaluated}, "
            f"which {target.root} ({target.layout}) does not have.",
            "\n".join(filter(None, ("Complete the data set:", *target.notes, instead))),
        )
    return protocol.evaluated


def train_command(protocol: Generalisation, checkpoint: Artifact) -> str:
    """The commands that train this checkpoint's method for a protocol; sources whose folder is not known are called data/LAYOUT."""
    manifest = checkpoint.manifest
    known = {made.layout: made.root for made in sources_of(manifest.dataset).values()}
    data = " ".join(known.get(name, f"data/{name}") for name in protocol.sources)
    recipe = manifest.config.get("recipe")
    words = [data, f"--method {manifest.method}", f"--recipe {recipe}" if recipe else "", _splits_option(protocol)]
    options = " ".join(filter(None, words))
    learned = f"reidclip prompt-learn {options} && " if any(i.role == "prompts" for i in manifest.inputs) else ""
    return f"{learned}reidclip finetune {options}"


def _splits_option(protocol: Generalisation) -> str:
    return f"--set 'train_splits=[\"{protocol.train_splits[0]}\"]'"


def _layouts(checkpoint: Artifact) -> list[str]:
    if checkpoint.manifest.dataset is None:
        raise UserError(
            f"Nothing says what checkpoint {checkpoint.ref} was trained on, and a protocol of generalisation rests on it.",
            "Evaluate it on data sets by their names instead, without --protocol dg-....",
        )
    return [made.layout for made in sources_of(checkpoint.manifest.dataset).values()]


def _names(candidates: Sequence[Generalisation]) -> str:
    return ", ".join(p.name for p in candidates)


def _seen(node: LineageNode) -> Iterator[Seen]:
    if node.artifact is not None:
        for domain, made in sources_of(node.artifact.manifest.dataset).items():
            yield Seen(f"{node.kind} {node.ref}", domain, made)
    for below in node.inputs:
        yield from _seen(below)


def _lineage(checkpoint: Artifact) -> LineageNode:
    return Store(checkpoint.path.resolve().parents[2]).lineage(checkpoint)  # STORE/kind/name/version


def _trained(nodes: Iterable[LineageNode]) -> Iterator[Artifact]:
    """Artifacts that a training on a data set made, anywhere below."""
    for node in nodes:
        if node.artifact is not None and node.kind in ("prompts", "checkpoint") and node.artifact.manifest.dataset is not None:
            yield node.artifact
        yield from _trained(node.inputs)


def _how_same(made: DatasetRef, target: Dataset) -> str:
    here = made.fingerprint == target.fingerprint or same_folder(Path(made.root), target.root)
    return "it" if here else f"{target.layout} data"


def _is_same_data(made: DatasetRef, target: Dataset) -> bool:
    root = Path(made.root)
    copies = made.layout == target.layout and is_published(made.layout)
    return copies or made.fingerprint == target.fingerprint or same_folder(root, target.root)
