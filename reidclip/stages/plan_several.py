"""``reidclip evaluate``: which checkpoints are evaluated on which data sets, decided before anything heavy is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reidclip import registry
from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.names import check_name
from reidclip.artifacts.store import Store
from reidclip.data.halves import TRAINING_HALF
from reidclip.data.open import open_dataset
from reidclip.data.published import published_of
from reidclip.errors import UserError
from reidclip.evaluation.generalisation import Generalisation, is_generalisation
from reidclip.records import Dataset
from reidclip.stages.choose import Say, checkpoint_for, dataset_for, learned_from
from reidclip.stages.evaluate import DEFAULT_CLIP, EvaluateJob, plan_evaluate, subject_of
from reidclip.stages.evaluate_generalisation import check_sources, check_unseen, choose_variant, reported_protocol
from reidclip.stages.evaluate_protocols import chosen_protocols
from reidclip.stages.evaluate_several import SeveralJob
from reidclip.stages.evaluation_names import names_apart, summary_name
from reidclip.stages.lineage_gaps import gap_of_clip
from reidclip.stages.seeds import checkpoints_of_seeds
from reidclip.stages.targets import open_targets
from reidclip.stages.tell_together import told_together
from reidclip.stages.trained_on import LAYOUTS, sources_of


def plan_several(
    data: Sequence[Path],
    store: Store,
    *,
    checkpoint: str | None = None,
    zero_shot: bool = False,
    protocols: Sequence[str] = (),
    seeds: Sequence[int] = (),
    splits: Sequence[int] = (),
    layout: str | None = None,
    name: str | None = None,
    say: Say = lambda text: None,
    **options: Any,
) -> SeveralJob:
    """Decide what is evaluated on what; a single data set without seeds is planned as by `plan_evaluate`.

    Args:
        data: folders of the targets; empty takes the data of the checkpoint, each of its sources where it has several. With a protocol of
            generalisation also one folder that holds the targets.
        checkpoint: reference; None takes the newest of the targets, with a protocol of generalisation or without data the newest of all.
        protocols: names; one of them may be a protocol of generalisation ("dg-1", "dg-2:msmt17"), the others choose the targets'.
        seeds: of the checkpoints to average over; empty evaluates the one chosen alone.
        splits: which random divisions, as `plan_evaluate`; of several data sets one without any is evaluated as a whole, which is told.
        layout: of all targets.
        name: of the summary, or of the only evaluation.
        options: see `reidclip.stages.evaluate.plan_evaluate`.

    Raises:
        UserError: anything that does not fit.
    """
    options |= {"zero_shot": zero_shot, "layout": layout, "splits": splits}
    general, own = _parted(protocols)
    if seeds and zero_shot:
        raise UserError("--seeds averages over checkpoints, and a plain CLIP has none.", "Leave --seeds or --zero-shot out.")
    if general is None and not seeds and (len(data) == 1 or (zero_shot and not data)):
        job = plan_evaluate(next(iter(data), None), store, checkpoint=checkpoint, protocols=own, name=name, say=say, **options)
        return SeveralJob(((job,),), (job.dataset.name,), (), None, job.name)
    opened = () if general else tuple(open_dataset(root, layout) for root in _once(data))
    chosen = None if zero_shot else _checkpoint(checkpoint, opened, general, store, say)
    protocol = choose_variant(general, chosen, say) if general else None
    targets = open_targets(protocol, data, layout) if protocol else opened or _own_data(chosen, layout, store, say)
    notes: dict[str, None] = {}  # each once, in order: several checkpoints may have one in common

    def note(text: str) -> None:
        if text not in notes:
            say(text)
        notes[text] = None

    if protocol:  # before a search for more checkpoints of that kind
        _check(protocol, chosen, targets, note, options.get("clip"))
    checkpoints = checkpoints_of_seeds(chosen, seeds, store, say) if seeds and chosen else (chosen,)
    if protocol:
        for one in checkpoints:
            if one is not chosen:
                _check(protocol, one, targets, note)
        _tell_other_data(targets, note)
        _tell_own_protocols(protocol, own, note)

    def wanted(target: Dataset) -> Sequence[str]:
        return own or ((reported_protocol(protocol, target),) if protocol else ())

    undivided = _undivided(targets, wanted, note) if splits else frozenset()

    def planned(target: Dataset, one: Artifact | None, told: Say, **named: Any) -> EvaluateJob:
        named |= {**options, "splits": () if target.root in undivided else splits}
        return plan_evaluate(target, store, checkpoint=one, protocols=wanted(target), say=told, beside=targets, **named)

    if len(targets) == 1 and not seeds and protocol is None:
        job = planned(targets[0], chosen, say, name=name)
        return SeveralJob(((job,),), (job.dataset.name,), (), None, job.name)
    names = names_apart(targets)
    with told_together(say) as say_of:
        runs = [
            tuple(planned(t, one, say_of(called) if i == 0 else _silent) for t, called in zip(targets, names, strict=True))
            for i, one in enumerate(checkpoints)
        ]
    default = summary_name(subject_of(chosen, runs[0][0].clip), protocol.name if protocol else None, targets, seeds)
    return SeveralJob(
        tuple(runs),
        names,
        tuple(seeds),
        protocol,
        check_name(name or default),
        tuple(n.removeprefix("note: ") for n in notes),
    )


def _undivided(targets: Sequence[Dataset], wanted: Callable[[Dataset], Sequence[str]], say: Say) -> frozenset[Path]:
    """Roots of the targets that have no random divisions to choose among while others do; where none has any, choosing is an error."""
    lacking = [t for t in targets if not any(p.draws for p in chosen_protocols(t, wanted(t), _silent))]
    if len(lacking) == len(targets):
        return frozenset()
    for target in lacking:
        say(f"note: {target.root} has no random splits to choose among; --split leaves it as it is")
    return frozenset(target.root for target in lacking)


def _silent(text: str) -> None:
    """What was told of the first seed holds for all."""


def _parted(protocols: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """(protocol of generalisation, the others)."""
    general = tuple(dict.fromkeys(p for p in protocols if is_generalisation(p)))
    if len(general) > 1:
        raise UserError(f"--protocol names {' and '.join(general)}; a checkpoint is trained for one.", "Evaluate one after the other.")
    return next(iter(general), None), tuple(p for p in protocols if not is_generalisation(p))


def _once(data: Sequence[Path]) -> Sequence[Path]:
    for root, times in Counter(path.resolve() for path in data).items():
        if times > 1:
            raise UserError(f"{root} is named {times} times.", "Name every data set once.")
    return data


def _checkpoint(named: str | None, targets: Sequence[Dataset], general: str | None, store: Store, say: Say) -> Artifact:
    """The one named; else the newest of the first target that has one; by a protocol of generalisation the newest of all."""
    otherwise = ", or evaluate the plain CLIP with --zero-shot"
    if named is not None or general is not None or not targets:
        return checkpoint_for(named, None, store, say, otherwise)
    trained = [target for target in targets if store.newest("checkpoint", learned_from(target)) is not None]
    return checkpoint_for(None, (trained or list(targets))[0], store, say, otherwise)


def _check(protocol: Generalisation, checkpoint: Artifact | None, targets: Sequence[Dataset], say: Say, clip: str | None = None) -> None:
    if checkpoint is None:
        say(f"note: a plain CLIP was trained on none of the sources of {protocol.name}")
        if gap := gap_of_clip("the plain CLIP", clip or DEFAULT_CLIP):
            say(f"note: {gap}")
    else:
        check_unseen(protocol, checkpoint, targets, say)
        check_sources(protocol, checkpoint)


def _tell_own_protocols(protocol: Generalisation, own: Sequence[str], say: Say) -> None:
    """What becomes of protocols that were named beside one of generalisation."""
    if own:
        instead = f", not by its own, {protocol.evaluated}" if protocol.evaluated not in own else ""
        averaged = f"; the mean over them is of {own[0]}" if len(own) > 1 and len(protocol.targets) > 1 else ""
        say(f"note: {protocol.name} chooses sources and targets; targets are compared by {' and '.join(own)}{instead}{averaged}")


def _tell_other_data(targets: Sequence[Dataset], say: Say) -> None:
    """Where a target is not the data set that papers report on: a whole copy shows the published counts, training pictures aside."""
    for target in targets:
        layout = registry.get(LAYOUTS, target.layout)
        for row in published_of(layout, target):
            if row.status != "G" and not set(row.splits) & TRAINING_HALF and (found := row.of(target)) != row.value:
                say(f"note: {target.root} is not the published {target.layout} data ({row.what}: {found}, published: {row.value})")
                break


def _own_data(checkpoint: Artifact | None, layout: str | None, store: Store, say: Say) -> tuple[Dataset, ...]:
    """What the checkpoint was trained on: each of several sources that has something to compare, or the one data set."""
    sources = sources_of(checkpoint.manifest.dataset) if checkpoint else {}
    if checkpoint is None or len(sources) < 2:
        return (dataset_for(None, layout, store, ("checkpoint", "masks", "prompts", "parsing"), say, checkpoint),)
    say(f"data: {' '.join(made.root for made in sources.values())} (the sources of checkpoint {checkpoint.ref})")
    opened = {domain: open_dataset(Path(made.root), layout or made.layout) for domain, made in sources.items()}
    for domain, dataset in opened.items():
        if not dataset.protocols:
            say(f"note: source {domain} has no query and gallery pictures")
    return tuple(dataset for dataset in opened.values() if dataset.protocols) or tuple(opened.values())
