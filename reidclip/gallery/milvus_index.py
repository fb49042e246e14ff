"""Gallery indexes in the vector database Milvus (Wang et al., SIGMOD 2021): a local file with Milvus Lite, or a server by URI.

Every version of an index is a collection of its own, so that earlier versions answer as before: a change copies what stays. The artifact
holds ``milvus.json``, which says where the collection is; a token is read from the environment and never written down.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field, field_validator

from reidclip.errors import WorkError
from reidclip.gallery.exact import Measure
from reidclip.gallery.milvus_session import Collection, MilvusSession, connected, told_plainly
from reidclip.settings import Settings

ABOUT_FILE = "milvus.json"
LOCAL_FOLDER = "milvus"  # of the store
_PREFIX = "reidclip_"  # of collections


class MilvusSettings(Settings):
    """Where vectors are kept, and how they are searched. A token is read from REIDCLIP_MILVUS_TOKEN."""

    uri: str = Field(
        "", description="http://HOST:19530 of a server, or a file for Milvus Lite; empty: STORE/milvus/NAME.db. No user or password in it."
    )
    kind: Literal["flat"] = Field("flat", description="flat: exact. Approximate kinds are faiss'.")
    batch: int = Field(2000, ge=1, le=100_000, description="Vectors that are sent at once.")

    @field_validator("uri")
    @classmethod
    def _no_secrets(cls, uri: str) -> str:
        if "@" in urlsplit(uri).netloc:
            raise ValueError("a URI with a user or password would be written into the index: put USER:PASSWORD into REIDCLIP_MILVUS_TOKEN")
        return uri


class MilvusIndex:
    """The plugin."""

    name = "milvus"
    title = "Milvus: a vector database, embedded (Milvus Lite) or a server by URI"
    settings = MilvusSettings
    needs = ("pymilvus",)

    def placed(self, settings: MilvusSettings, store: Path, name: str) -> MilvusSettings:
        """The settings with a local database beside the store's artifacts, where none is named."""
        return settings if settings.uri else settings.model_copy(update={"uri": str(store / LOCAL_FOLDER / f"{name}.db")})

    def build(self, vectors: Iterator[np.ndarray], width: int, measure: Measure, settings: Any, folder: Path) -> None:
        """See `reidclip.interfaces.GalleryIndex`. Nothing is left in the database where it fails."""
        chosen = MilvusSettings.model_validate(settings.model_dump())
        _fill(vectors, width, measure, chosen, folder, _index_name(folder))

    def extend(self, old: Path, vectors: Iterator[np.ndarray], removed: np.ndarray, folder: Path) -> None:
        """See `reidclip.interfaces.GalleryIndex`: a new collection, into which the rows that stay are copied."""
        told = _read(old)
        chosen = MilvusSettings.model_validate({**told["settings"], "uri": _uri(told["uri"], old)})
        with closing(self.open(old)) as before:
            blocks = _rest_and(before, told["count"], removed, vectors, chosen.batch)
            _fill(blocks, told["width"], told["measure"], chosen, folder, _index_name(old))

    def discard(self, folder: Path) -> None:
        """See `reidclip.interfaces.GalleryIndex`: drop the collection, if it is one of this toolkit's.

        Raises:
            WorkError: the database does not answer.
        """
        if not (folder / ABOUT_FILE).exists():
            return
        told = _read(folder)
        uri = _uri(told["uri"], folder)
        if not str(told["collection"]).startswith(_PREFIX) or not (_is_remote(uri) or Path(uri).exists()):
            return
        with closing(connected(uri)) as client, told_plainly(uri):
            client.drop_collection(told["collection"])

    def open(self, folder: Path) -> MilvusSession:
        """See `reidclip.interfaces.GalleryIndex`.

        Raises:
            WorkError: the database does not answer, or the collection is gone or holds another number of vectors.
        """
        told = _read(folder)
        uri = _uri(told["uri"], folder)
        if not _is_remote(uri) and not Path(uri).exists():
            raise WorkError(f"The database {uri} of this index is gone.", "Put it back beside the store, or build the index again.")
        return MilvusSession(connected(uri), Collection(uri, told["collection"], told["count"], told["width"], told["measure"]))


def _fill(vectors: Iterator[np.ndarray], width: int, measure: Measure, settings: MilvusSettings, folder: Path, name: str) -> None:
    if not _is_remote(settings.uri):
        Path(settings.uri).parent.mkdir(parents=True, exist_ok=True)
    collection = Collection(settings.uri, f"{name}_{secrets.token_hex(4)}", 0, width, measure)
    told = {
        "settings": settings.model_dump(mode="json", exclude={"uri"}),
        "uri": settings.uri if _is_remote(settings.uri) else os.path.relpath(settings.uri, _place(folder)).replace(os.sep, "/"),
        "collection": collection.name,
        "count": 0,
        "width": width,
        "measure": measure,
    }
    with closing(connected(settings.uri)) as client:
        try:
            _write(folder, told)  # first: who is killed meanwhile leaves word of the collection
            _write(folder, told | {"count": collection.create(client, vectors, settings.batch)})
        except BaseException:
            collection.drop(client)
            raise


def _write(folder: Path, told: Mapping[str, Any]) -> None:
    (folder / ABOUT_FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _rest_and(old: MilvusSession, count: int, removed: np.ndarray, vectors: Iterator[np.ndarray], batch: int) -> Iterator[np.ndarray]:
    rest = np.setdiff1d(np.arange(count), removed, assume_unique=True)
    for start in range(0, len(rest), batch):
        yield old.vectors(rest[start : start + batch])
    yield from vectors


def _index_name(folder: Path) -> str:
    """``gate_v3`` for STORE/index/gate/<draft or version>/backend, in letters that Milvus takes: the version that comes next."""
    versions = [int(p.name[1:5]) for p in folder.parent.parent.glob("v[0-9][0-9][0-9][0-9]*")]
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in folder.parent.parent.name)
    return f"{_PREFIX}{plain}_v{1 + max(versions, default=0)}"[:200]


def _is_remote(uri: str) -> bool:
    return "://" in uri


def _place(folder: Path) -> Path:
    """What local paths are relative to: the folder of all versions, which a draft and its version share; a moved store stays whole."""
    return folder.absolute().parent.parent


def _uri(told: str, folder: Path) -> str:
    return told if _is_remote(told) else os.path.normpath(_place(folder) / told)


def _read(folder: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
        if not {"settings", "uri", "collection", "count", "width", "measure"} <= told.keys():
            raise ValueError("a key is missing")
    except (OSError, ValueError, AttributeError) as error:
        raise WorkError(f"{folder / ABOUT_FILE} does not say where the index is: {error}.", "Build the index again.") from error
    return told


INDEX = MilvusIndex()
