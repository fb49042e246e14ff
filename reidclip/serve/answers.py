"""What the API answers: the shapes of its JSON, from which ``/openapi.json`` is made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from reidclip.gallery.items import Item
from reidclip.gallery.query import Hit


class Problem(BaseModel):
    """Any request that is not answered."""

    error: str = Field(description="What is wrong.")
    remedy: str = Field(description="What to do about it; may be empty.")


class Health(BaseModel):
    """Whether the server answers."""

    status: Literal["ok"] = "ok"


class ModelInfo(BaseModel):
    """Which model made the vectors."""

    ref: str = Field(description="The checkpoint's reference.")
    digest: str = Field(description="SHA-256 over weights, configuration, width and measure.")
    width: int = Field(description="Length of a vector.")
    measure: Literal["similarity", "distance"] = Field(description="similarity: distances are 1 - cosine; distance: Euclidean.")


class IndexInfo(BaseModel):
    """Which index answers."""

    ref: str
    digest: str = Field(description="SHA-256 of the artifact's manifest.")
    backend: str
    count: int = Field(description="Items.")
    recall: float | None = Field(description="recall@10 against exact search, measured at build; null for an exact index.")


class Count(BaseModel):
    """A value that a filter can take."""

    value: int | str
    count: int = Field(description="Items that have it.")


class TimeRange(BaseModel):
    """Earliest and latest item of known time, in seconds."""

    earliest: float
    latest: float
    clock: bool = Field(description="Seconds since 1970 (UTC); else since a video's begin.")


class ClothesInfo(BaseModel):
    """Where the items' classes of clothes come from."""

    mode: str = Field(description="labels of the data, clusters of descriptors, or none.")
    count: int
    of_pictures: bool = Field(description="The clothes of an uploaded picture can be told from it.")


class Limits(BaseModel):
    """What a search may ask for."""

    upload_bytes: int
    pixels: int
    top: int
    types: tuple[str, ...]


class Info(BaseModel):
    """The gallery, and what its filters can be."""

    version: str
    index: IndexInfo
    model: ModelInfo
    cameras: list[Count]
    domains: list[Count]
    time: TimeRange | None
    clothes: ClothesInfo
    limits: Limits


class ItemInfo(BaseModel):
    """One picture or crop of the gallery."""

    row: int
    key: str = Field(description="Names it within the gallery; `item` of a search takes it.")
    path: str = Field(description="Relative to the gallery's folder.")
    frame: int | None = Field(description="Of a video, from 0.")
    box: tuple[int, int, int, int] | None = Field(description="Left, top, width, height in pixels.")
    track: int | None
    time: float | None = Field(description="Seconds; see `time.clock` of /api/info.")
    pid: int | None
    camera: int | None
    clothes: int | None
    domain: str
    thumbnail: str = Field(description="Address of a JPEG.")

    @classmethod
    def of(cls, row: int, item: Item, index: IndexInfo) -> ItemInfo:
        """What is known of the item; unknown numbers are null."""
        return cls(**_facts(row, item, index))


class HitInfo(ItemInfo):
    """One answer."""

    rank: int
    distance: float

    @classmethod
    def at(cls, hit: Hit, index: IndexInfo) -> HitInfo:
        """A hit with what is known of its item."""
        return cls(rank=hit.rank, distance=hit.distance, **_facts(hit.row, hit.item, index))


class QueryInfo(BaseModel):
    """What was searched with."""

    kind: Literal["picture", "item"]
    width: int | None = Field(None, description="Of an uploaded picture, in pixels, upright.")
    height: int | None = None
    item: ItemInfo | None = None
    clothes: int | None = Field(None, description="Class of its clothes, where the search asked for it.")


class SearchAnswer(BaseModel):
    """Ranked items, nearest first."""

    query: QueryInfo
    hits: list[HitInfo]
    allowed: int = Field(description="Items that the filters let through.")
    reranked: bool = Field(description="Distances are those of re-ranking: another scale.")
    note: str | None = Field(None, description="What a reader of these answers should know: clothes that a parser saw may be wrong.")
    index: IndexInfo
    model: ModelInfo
    milliseconds: float = Field(description="Encoding and search, without the waiting.")


def _facts(row: int, item: Item, index: IndexInfo) -> dict[str, Any]:
    return {
        "row": row,
        "key": item.key,
        "path": item.path,
        "frame": _known(item.frame),
        "box": item.box,
        "track": _known(item.track),
        "time": item.time,
        "pid": _known(item.pid),
        "camera": _known(item.camid),
        "clothes": _known(item.clothes_id),
        "domain": item.domain,
        "thumbnail": f"/api/items/{row}/thumbnail?index={index.digest[:12]}",  # a browser that kept another index's asks anew
    }


def _known(number: int) -> int | None:
    return number if number >= 0 else None
