"""The data of an artifact, opened again where its manifest says that it lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.manifest import DatasetRef
from reidclip.data.open_several import Layouts, open_all_pictures, open_datasets
from reidclip.errors import UserError
from reidclip.records import Dataset

PICTURES = "pictures"
"""Layout of a folder of pictures without labels."""


def reopened(artifact: Artifact, say: Callable[[str], None], layout: Layouts = None, *, newest: bool) -> Dataset:
    """The data set, or the sets joined, that an artifact was made from. What changed since in one of several sources is told by name.

    Args:
        artifact: its manifest names data.
        say: is told which data is taken.
        layout: in place of what the manifest says.
        newest: whether the artifact was chosen for the caller.

    Raises:
        UserError: a folder is gone; see `reidclip.data.open_several.open_datasets`.
    """
    made = artifact.manifest.dataset
    assert made is not None
    what = f"{artifact.kind} {artifact.ref}"
    say(f"data: {' + '.join(part.root for part in made.parts)} (of {what}{', the newest' if newest else ''})")
    dataset = open_again(made, what, layout)
    for domain, source in made.sources.items():
        now = dataset.sources.get(domain)
        if now is not None and (found := source.differences(DatasetRef.of(now))):
            say(f"note: data set '{domain}' ({source.root}) is not as {what} had it: {'; '.join(found)}")
    return dataset


def open_again(made: DatasetRef, what: str, layout: Layouts = None) -> Dataset:
    """The data that a manifest describes, as it is now.

    Args:
        made: from the manifest.
        what: the artifact, for errors.
        layout: in place of what the manifest says.

    Raises:
        UserError: a folder is gone; see `reidclip.data.open_several.open_datasets`.
    """
    named = made.sources or {"": made}
    for domain, part in named.items():
        if not Path(part.root).is_dir():
            of = f"Data set '{domain}'" if domain else "The data"
            raise UserError(f"{of} of {what} is no longer at {part.root}.", "Name its new place: reidclip COMMAND DATA.")
    open_them = open_all_pictures if any(part.layout == PICTURES for part in made.parts) else open_datasets
    return open_them([part.root for part in made.parts], layout or [part.layout for part in made.parts])
