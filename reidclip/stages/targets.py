"""The target data sets of a protocol of generalisation: folders given one by one, or one folder that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reidclip import registry
from reidclip.data.files import folders
from reidclip.data.open import layout_of, open_dataset
from reidclip.errors import UserError
from reidclip.evaluation.generalisation import Generalisation
from reidclip.records import Dataset
from reidclip.stages.trained_on import LAYOUTS


def open_targets(protocol: Generalisation, roots: Sequence[Path], layout: str | None = None) -> tuple[Dataset, ...]:
    """The protocol's targets, in its order.

    Args:
        roots: folders of the targets, or folders whose sub-folders are looked at for them.
        layout: of the target, where there is one and it is given by its folder.

    Raises:
        UserError: no folder; data that is no target; a target that is missing, or there twice; whatever reading them finds wrong.
    """
    if not roots:
        raise UserError(
            f"Protocol {protocol.name} is evaluated on {', '.join(protocol.targets)}; no folder of them was named.",
            f"Name them, or the folder that holds them: reidclip evaluate data --protocol {protocol.name}.",
        )
    found: dict[str, list[Path]] = {}
    for root in roots:
        for name, place in _targets_at(protocol, root, layout if len(roots) == 1 else None):
            found.setdefault(name, []).append(place)
    for name, places in found.items():
        if len(places) > 1:
            raise UserError(
                f"There are several {name} data sets: {', '.join(map(str, places))}.",
                "Name the folders of the targets, each data set once.",
            )
    missing = [name for name in protocol.targets if name not in found]
    if missing:
        raise UserError(
            f"Protocol {protocol.name} is evaluated on {', '.join(protocol.targets)}; "
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in {', '.join(map(str, roots))}.",
            "\n".join(["Expected trees:", *(f"  {name}: {_first_line(name)}" for name in missing)]),
        )
    return tuple(open_dataset(found[name][0], name) for name in protocol.targets)


def _targets_at(protocol: Generalisation, root: Path, layout: str | None) -> list[tuple[str, Path]]:
    """(layout, folder) of the targets at a folder, or right below it."""
    own = layout or layout_of(root)
    if own in protocol.targets:
        return [(own, root)]
    below = [] if own else [(name, sub) for sub in folders(root) if (name := _layout_below(sub)) is not None]
    if below:
        return [(name, sub) for name, sub in below if name in protocol.targets]
    read = own or open_dataset(root).layout  # raises where no layout knows the folder: its error says what was looked for
    raise UserError(
        f"{root} is {read} data, which is no target of protocol {protocol.name}.", f"Its targets: {', '.join(protocol.targets)}."
    )


def _layout_below(folder: Path) -> str | None:
    try:
        return layout_of(folder)
    except UserError:  # several layouts recognise it: nobody asked for this folder
        return None


def _first_line(name: str) -> str:
    layout = registry.info(LAYOUTS, name).object if name in registry.names(LAYOUTS) else None
    return str(layout.expected_tree).splitlines()[0] if layout is not None else "no layout of that name is installed"
