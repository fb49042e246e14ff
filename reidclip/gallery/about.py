"""What an index artifact says of itself: ``index.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from reidclip.artifacts.artifact import Artifact
from reidclip.errors import WorkError
from reidclip.gallery.joining import Place
from reidclip.gallery.model import VectorModel

INDEX_FILE, BACKEND, CENTROIDS_FILE = "index.json", "backend", "clothes.safetensors"
_FORMAT = 1
_REMEDY = "Build the index again."


@dataclass(frozen=True)
class ClothesGroups:
    """Where the items' ``clothes_id`` come from.

    Attributes:
        mode: "labels" of the data, "clusters" of descriptors (`reidclip.gallery.clothes`), or "none".
        count: how many there are among the items.
        match: how well clusters agree with the data's labels, where it has some (`reidclip.gallery.clusters.agreement`).
    """

    mode: str = "none"
    count: int = 0
    match: Mapping[str, float] | None = None


@dataclass(frozen=True)
class IndexAbout:
    """What is known of an index besides its items.

    Attributes:
        backend: plugin of group ``reidclip.indexes``.
        settings: its settings, as plain values.
        count: N, rows.
        model: what made the vectors.
        root: the folder that the items' paths are relative to.
        clothes: what the items' classes of clothes are.
        recall: of an approximate index against exact search: recall@10, queries, settings tried; None of an exact one.
        sources: references of the ``vectors`` artifacts, in the order in which they were added.
        places: roots that items came from.
    """

    backend: str
    settings: Mapping[str, Any]
    count: int
    model: VectorModel
    root: Path
    clothes: ClothesGroups = field(default_factory=ClothesGroups)
    recall: Mapping[str, Any] | None = None
    sources: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()

    def write(self, folder: Path) -> None:
        """Into the artifact's folder."""
        told = {"format": _FORMAT, **asdict(self), "model": self.model.to_json(), "root": str(self.root), "width": self.model.width}
        (folder / INDEX_FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, artifact: Artifact) -> IndexAbout:
        """Of an index artifact, digest verified.

        Raises:
            WorkError: the file is missing, changed, or of another format.
        """
        path = artifact.file(INDEX_FILE)
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != _FORMAT:
                raise WorkError(f"{path} is of format {told['format']}, this version reads {_FORMAT}.", "Update reidclip.")
            given = {k: told[k] for k in ("backend", "settings", "count", "recall")}
            clothes = ClothesGroups(**told["clothes"])
            about = cls(**given, model=VectorModel.from_json(told["model"]), root=Path(told["root"]), clothes=clothes)
            return replace(about, sources=tuple(told["sources"]), places=tuple(map(_place, told["places"])))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorkError(f"{path} does not describe an index: {error}.", _REMEDY) from error


def _place(told: Mapping[str, Any]) -> Place:
    return Place(told["root"], told["domain"], {int(own): int(number) for own, number in told["clothes"].items()})
