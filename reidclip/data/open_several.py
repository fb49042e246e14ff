"""From one or several folders to one data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reidclip.data.join import join
from reidclip.data.open import open_dataset, open_pictures
from reidclip.errors import UserError
from reidclip.records import Dataset

Roots = Path | str | Sequence[Path | str]
Layouts = str | Sequence[str] | None


def open_datasets(roots: Roots, layouts: Layouts = None) -> Dataset:
    """The data set in a folder, or those in several folders joined.

    Args:
        roots: a folder, as `reidclip.data.open.open_dataset` takes it, or several.
        layouts: name of the layout of all of them, or as many names as folders, in their order; None recognises each.

    Raises:
        UserError: another number of layouts; the same folder twice; see `reidclip.data.open.open_dataset`.
    """
    return _open(open_dataset, roots, layouts)


def open_all_pictures(roots: Roots, layouts: Layouts = None) -> Dataset:
    """As `open_datasets`, for work that needs no labels: see `reidclip.data.open.open_pictures`."""
    return _open(open_pictures, roots, layouts)


def _open(open_one: Callable[[Path, str | None], Dataset], roots: Roots, layouts: Layouts) -> Dataset:
    several = [Path(root) for root in ([roots] if isinstance(roots, (Path, str)) else roots)]
    names = [layouts] if isinstance(layouts, str) else list(layouts or ())
    if len(names) > 1 and len(names) != len(several):
        raise UserError(
            f"--dataset names {len(names)} layouts for {len(several)} data sets.",
            "Give it once for all of them, or once for each in their order, or leave it out: layouts are recognised.",
        )
    one: list[str | None] = [None] if not names else [*names]
    each = one if len(one) == len(several) else one * len(several)
    return join([open_one(root, layout) for root, layout in zip(several, each, strict=True)])
