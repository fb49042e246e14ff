"""A collection of Milvus that is filled, and asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reidclip.errors import UserError, WorkError
from reidclip.gallery.exact import Measure, distances_of

TOKEN = "REIDCLIP_MILVUS_TOKEN"
_MOST = 16_384  # answers that Milvus gives to one query
_AT_ONCE = 2000  # rows fetched by their numbers
_SPARE = 16  # candidates beyond those asked for: its distances are rounded otherwise than ours


@dataclass(frozen=True)
class Collection:
    """Rows 0..count-1 under their numbers.

    Attributes:
        uri, name: where it is.
        count, width, measure: N, D, and how vectors are compared.
    """

    uri: str
    name: str
    count: int
    width: int
    measure: Measure

    @property
    def metric(self) -> str:
        """Milvus' word."""
        return "IP" if self.measure == "similarity" else "L2"

    def create(self, client: Any, vectors: Iterator[np.ndarray], batch: int) -> int:
        """Make it and put these blocks (B, D) in; gives N."""
        from pymilvus import DataType

        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.width)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type=self.metric)
        row = 0
        with told_plainly(self.uri):
            client.create_collection(self.name, schema=schema, index_params=index, consistency_level="Strong")
            for block in vectors:
                for start in range(0, len(block), batch):
                    part = np.asarray(block[start : start + batch], dtype=np.float32)
                    client.insert(self.name, [{"row": row + i, "vector": v} for i, v in enumerate(part)])
                    row += len(part)
            client.flush(self.name)
        return row

    def drop(self, client: Any) -> None:
        """Remove it, whatever state it is in."""
        try:
            client.drop_collection(self.name)
        except Exception:  # of a database that is gone: what made it fail is told, not this
            return


class MilvusSession:
    """`reidclip.interfaces.IndexSession`."""

    def __init__(self, client: Any, collection: Collection) -> None:
        self.client, self.collection = client, collection
        with told_plainly(collection.uri):
            if not client.has_collection(collection.name):
                what = f"The database {collection.uri} holds no collection {collection.name}: it was dropped."
                raise WorkError(what, "Take another version of the index, or build it again.")
            client.load_collection(collection.name)
            found = client.query(collection.name, filter="row >= 0", output_fields=["count(*)"])[0]["count(*)"]
        if found != collection.count:
            what = f"Collection {collection.name} of {collection.uri} holds {found} vectors, not {collection.count}: it was changed."
            raise WorkError(what, "Build the index again.")

    def search(self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See `reidclip.interfaces.IndexSession`; a mask goes to the database as an expression over row numbers.

        What is equally near comes by row; of more than `_SPARE` such rows beyond the last answer the database chooses which answer.
        """
        c = self.collection
        rows = np.full((len(queries), count), -1, dtype=np.int64)
        distances = np.full((len(queries), count), np.inf, dtype=np.float32)
        if allowed is not None and not allowed.any():
            return distances, rows
        if count > _MOST:
            raise UserError(f"Milvus gives {_MOST} answers to a query at most, not {count}.", "Take a smaller --top.")
        asked = min(_MOST, c.count, count + _SPARE)
        with told_plainly(c.uri):
            found = self.client.search(
                c.name,
                np.asarray(queries, dtype=np.float32).tolist(),
                limit=asked,
                filter="" if allowed is None else expression(allowed),
                output_fields=["vector"],
                search_params={"metric_type": c.metric, "params": {}},
            )
        for number, hits in enumerate(found):
            mine = np.array([_row(hit) for hit in hits], dtype=np.int64)
            if not len(mine):
                continue
            there = np.array([hit["entity"]["vector"] for hit in hits], dtype=np.float32)
            far = distances_of(np.asarray(queries[number]), there, c.measure)
            order = np.lexsort((mine, far))[:count]
            rows[number, : len(order)], distances[number, : len(order)] = mine[order], far[order]
        return distances, rows

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """See `reidclip.interfaces.IndexSession`."""
        c = self.collection
        found = np.empty((len(rows), c.width), dtype=np.float32)
        for start in range(0, len(rows), _AT_ONCE):
            part = np.asarray(rows[start : start + _AT_ONCE], dtype=np.int64)
            with told_plainly(c.uri):
                got = self.client.get(c.name, ids=[int(r) for r in np.unique(part)], output_fields=["row", "vector"])
            by_row = {int(one["row"]): one["vector"] for one in got}
            if missing := [int(r) for r in part if int(r) not in by_row]:
                raise WorkError(f"Collection {c.name} of {c.uri} has lost row {missing[0]}.", "Build the index again.")
            found[start : start + len(part)] = [by_row[int(r)] for r in part]
        return found

    def close(self) -> None:
        """See `reidclip.interfaces.IndexSession`."""
        self.client.close()


def _row(hit: Any) -> int:
    return int(hit["row"] if "row" in hit else hit["id"])


def expression(allowed: np.ndarray) -> str:
    """(N,) bool -> Milvus' filter: ranges of row numbers, and single rows as a list; of the rows left out where these are fewer."""
    if np.count_nonzero(allowed) > len(allowed) / 2:
        return "" if allowed.all() else f"not ({_ranges(~allowed)})"
    return _ranges(allowed)


def _ranges(chosen: np.ndarray) -> str:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]  # [start, end)
    single = [str(int(s)) for s, e in zip(starts, ends, strict=True) if e - s == 1]
    parts = [f"(row >= {int(s)} and row < {int(e)})" for s, e in zip(starts, ends, strict=True) if e - s > 1]
    return " or ".join(parts + ([f"row in [{', '.join(single)}]"] if single else []))


def connected(uri: str) -> Any:
    """A client; the token comes from the environment.

    Raises:
        WorkError: it does not answer, or another process has the local file open.
    """
    from pymilvus import MilvusClient

    token = os.environ.get(TOKEN, "")
    with told_plainly(uri):
        return MilvusClient(uri, token=token, timeout=20) if "://" in uri else MilvusClient(uri)


class told_plainly:  # noqa: N801 - used as a statement
    """Within, what Milvus raises becomes a `WorkError` that names the database, and not the token."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None or error is None or not _is_of_milvus(kind):
            return
        said = str(getattr(error, "message", "") or error).strip().splitlines() or [kind.__name__]
        token = os.environ.get(TOKEN)
        what = said[0].replace(token, "***") if token else said[0]
        remedy = f"Is it running, and does {TOKEN} hold its token?" if "://" in self.uri else "One process at a time can use the file."
        raise WorkError(f"Milvus at {self.uri}: {what.rstrip('.')}.", remedy) from error


def _is_of_milvus(kind: type[BaseException]) -> bool:
    return any(base.__module__.partition(".")[0] in ("pymilvus", "milvus_lite", "grpc") for base in kind.__mro__)
