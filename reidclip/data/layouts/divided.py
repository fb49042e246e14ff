"""What the small data sets without a fixed division share: their folders are no splits, and one protocol averages random ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reidclip.data.faults import without_faults
from reidclip.data.found_draws import Foreign, find_draws, listed_splits
from reidclip.data.layouts.assemble import assemble
from reidclip.data.layouts.flat import FlatNames, FlatTree
from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.records import Dataset, Draw, Protocol, Sample


def base_of(root: Path, names: FlatNames, inner: Sequence[str]) -> Path:
    """The folder that holds the data set: the one given, or one of ``inner`` below it; the one given when none does."""
    return next((base for base in bases(root, inner) if names.known_in(base)), root)


def bases(root: Path, inner: Sequence[str]) -> Iterator[Path]:
    """The folder given and those below it where a data set may lie."""
    yield root
    yield from (root / name for name in inner)


def divided(
    layout: str,
    title: str,
    root: Path,
    base: Path,
    tree: FlatTree,
    samples: Sequence[Sample],
    protocol: Protocol,
    seeded: Callable[[], Mapping[str, Draw]],
    foreign: Foreign = listed_splits,
    files: Sequence[str] = ("splits.json",),
    left_out: Mapping[str, int] | None = None,
    drawn: str = "",
) -> Dataset:
    """The data set with its divisions and the protocol that averages over them.

    Args:
        layout, title: its names.
        root: the folder given; a file of splits may lie there.
        base: where its folders are; paths are relative to it.
        tree: what they hold.
        samples: of its pictures.
        protocol: without draws.
        seeded, foreign, drawn: see `find_draws`.
        files: names of files in which published programs keep their splits.
        left_out: as in `Dataset`.

    Raises:
        UserError: a file of splits that does not fit.
        DataFaultsError: pictures whose names do not fit.
    """
    folders = tuple(dict.fromkeys(s.split for s in samples))
    dataset = assemble(layout, base, samples, (), tree.notes, left_out, splits=folders)
    if tree.faults:
        return without_faults(dataset, tree.faults)
    draws, note = find_draws(tuple(dict.fromkeys((root, base))), files, dataset.samples, seeded, foreign, drawn)
    possible = {name: draw for name, draw in draws.items() if draw.query and draw.gallery}
    notes = [*dataset.notes, note, missing_protocols_note(("same-clothes", "cloth-changing"), f"{title} has no clothes labels.")]
    if not possible:
        notes.append(missing_protocols_note((protocol.name,), "there are too few people to divide."))
    protocols = (replace(protocol, draws=tuple(possible)),) if possible else ()
    return without_faults(replace(dataset, draws=possible, protocols=protocols, notes=tuple(notes)), ())
