"""Items of data sets and of folders of pictures, with the labels that are known of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from reidclip.counted import counted
from reidclip.data.files import is_hidden, is_picture
from reidclip.data.halves import OTHER_BOXES
from reidclip.data.join import join, place_of, with_halves_joined
from reidclip.data.open import layout_of, open_pictures
from reidclip.errors import UserError, nearest
from reidclip.gallery.items import Item
from reidclip.gallery.sources import Source
from reidclip.records import Dataset, Sample

PLAIN = "pictures"
"""Layout of a folder without labels."""


def of_folders(
    folders: Sequence[Path], cameras: Sequence[int], layouts: str | Sequence[str] | None, splits: Sequence[str], notes: list[str]
) -> tuple[Source, Dataset]:
    """One source of all folders, and the data set that they are together.

    Several are joined as for training: identities, cameras and clothes are numbered anew over all of them, and the folder's name is the
    domain. Clothes of both halves of a data set, which are numbered apart, get numbers of their own; so do identities where they are.
    Every frame of a tracklet is an item, the tracklet's place in the data set its track.

    Args:
        cameras: of each folder, for pictures without labels; -1 where nobody says.
        layouts: one for all folders or one for each; None recognises them, and takes all pictures where none is known.
        splits: names of splits that are taken; empty takes all.
        notes: gets what a reader should know of the data.
    """
    names = _layouts(layouts, len(folders))
    opened = [_opened(folder, name) for folder, name in zip(folders, names, strict=True)]
    for one, camera in zip(opened, cameras, strict=True):
        if camera >= 0 and one.layout != PLAIN:
            raise UserError(f"{one.root} is read as {one.layout}, which tells cameras itself.", "Leave --camera out.")
    dataset = join(opened)
    notes += dataset.notes
    plain = {str(one.root): camera for one, camera in zip(opened, cameras, strict=True) if one.layout == PLAIN}
    items: list[Item] = []
    keys: list[int] = []
    for number, sample in _taken(dataset, splits):
        root = str(dataset.sources[sample.path.partition("/")[0]].root if dataset.sources else dataset.root)
        for picture in sample.pictures:
            items.append(_item(dataset, sample, picture, number if sample.frames else -1, plain.get(root)))
            keys.append(sample.camid)
    return Source("pictures", Path(dataset.root), tuple(items), None if plain else tuple(keys)), dataset


def _opened(folder: Path, layout: str | None) -> Dataset:
    """A data set where a layout knows the tree, else all pictures below the folder; links to folders are not followed."""
    if layout not in (None, PLAIN):
        return open_pictures(folder, layout)
    if layout is None and (found := layout_of(folder)) is not None:
        return open_pictures(folder, found)
    if not os.access(folder, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UserError(f"{folder} cannot be read: permission denied.", "Change the folder's permissions, or copy the pictures.")
    root = Path(os.path.abspath(folder))
    paths = sorted(_picture_paths(root))
    if not paths:
        raise UserError(f"{folder} holds no pictures.", "Name a data set, or a folder with pictures (jpg, png, bmp, webp, tif) in it.")
    return Dataset(PLAIN, root, tuple(Sample(path, -1, 0, -1, "all") for path in paths))


def _picture_paths(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root, followlinks=False):
        names[:] = [name for name in names if not is_hidden(name)]
        for name in files:
            if is_picture(name):
                yield Path(folder, name).relative_to(root).as_posix()


def _layouts(layouts: str | Sequence[str] | None, count: int) -> list[str | None]:
    named: list[str | None] = [layouts] if isinstance(layouts, str) else [*(layouts or (None,))]
    if len(named) not in (1, count):
        raise UserError(
            f"--dataset names {len(named)} layouts for {counted(count, 'folder', 'folders')}.",
            "Give it once for all of them, or once for each in their order, or leave it out: layouts are recognised.",
        )
    return named if len(named) == count else named * count


def _taken(dataset: Dataset, splits: Sequence[str]) -> Iterator[tuple[int, Sample]]:
    """Place and sample of the splits named; of all splits but those that show the same people cut out anew, where none is."""
    known = [*dict.fromkeys(s.split for s in dataset.samples), *dataset.draws]
    for split in splits:
        if split not in known:
            raise UserError(f"{place_of(dataset)} has no split '{split}'.", nearest(split, known))
    wanted = {s.path for split in splits for s in dataset.split(split)}
    for number, (sample, as_numbered) in enumerate(zip(dataset.samples, with_halves_joined(dataset), strict=True)):
        if sample.path in wanted if splits else sample.split not in OTHER_BOXES:
            yield number, as_numbered


def _item(dataset: Dataset, sample: Sample, picture: str, track: int, camera: int | None) -> Item:
    """``camera``: of a folder without labels, what the user says, else None."""
    true = sample.camid if sample.camera is None else sample.camera
    return Item(
        os.path.relpath(dataset.file(picture), dataset.root).replace(os.sep, "/"),
        track=track,
        pid=sample.pid,
        camid=true if camera is None else camera,
        clothes_id=sample.clothes_id,
        domain=sample.domain,
    )
