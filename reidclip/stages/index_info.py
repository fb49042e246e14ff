"""``reidclip index info`` as a function: what an index holds, from its files alone; no backend is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from reidclip.artifacts.store import Store
from reidclip.gallery.about import IndexAbout
from reidclip.gallery.gallery import index_for
from reidclip.gallery.items import ITEMS_FILE, Item, read_items


def index_info(store: Store, ref: str | None = None) -> dict[str, Any]:
    """Plain values for a table or JSON.

    Raises:
        UserError: there is none. WorkError: a damaged file.
    """
    artifact = index_for(ref, store)
    about = IndexAbout.read(artifact)
    items = read_items(artifact.file(ITEMS_FILE))
    return {
        "index": artifact.ref,
        "created": artifact.manifest.created.isoformat(),
        "backend": about.backend,
        "settings": dict(about.settings),
        "items": about.count,
        "width": about.model.width,
        "bytes": sum(file.size for file in artifact.files.values()),
        "model": about.model.to_json(),
        "root": str(about.root),
        "clothes": {"mode": about.clothes.mode, "count": about.clothes.count, "match": about.clothes.match},
        "recall": about.recall,
        "sources": list(about.sources),
        **_counted(items),
    }


def _counted(items: Iterable[Item]) -> dict[str, Any]:
    items = tuple(items)
    times = [i.time for i in items if i.time is not None]
    return {
        "cameras": _table(i.camid for i in items),
        "domains": _table(i.domain for i in items if i.domain),
        "times": [min(times), max(times)] if times else None,
        "people": len({(i.domain, i.pid) for i in items if i.pid >= 0}),
        "tracks": len({(i.path, i.track) for i in items if i.track >= 0}),
    }


def _table(values: Iterable[Any]) -> dict[str, int]:
    """Value -> how many; of unknown cameras (-1) as "unknown"."""
    return {"unknown" if value == -1 else str(value): count for value, count in sorted(Counter(values).items())}
