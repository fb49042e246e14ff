"""What a data set is called where its folder's own name says nothing: by its layout."""

from __future__ import annotations

from pathlib import Path

from reidclip import registry

_GROUP = "reidclip.layouts"


def name_by_layout(layout: str, root: Path | str) -> str:
    """The layout's name where the root is a folder inside the data set's own (PRID's ``single_shot``); else "".

    It follows from root and layout alone, so that data opened again by what a manifest says is called the same. Layouts name such
    folders in ``inner``, paths below the folder that users name.
    """
    known = registry.info(_GROUP, layout).object if layout in registry.names(_GROUP) else None
    inner = {Path(path).name.lower() for path in getattr(known, "inner", ())}
    return layout if Path(root).name.lower() in inner else ""
