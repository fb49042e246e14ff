"""A gallery with the encoder of its queries: everything of a search that computes, without anything of the web."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reidclip import __version__
from reidclip.errors import UserError
from reidclip.gallery.embed import embed_pictures
from reidclip.gallery.gallery import Gallery
from reidclip.gallery.query import Filter
from reidclip.gallery.worn import MAY_ERR, UNKNOWN, Worn
from reidclip.serve.answers import (
    ClothesInfo,
    Count,
    HitInfo,
    IndexInfo,
    Info,
    ItemInfo,
    Limits,
    ModelInfo,
    QueryInfo,
    SearchAnswer,
    TimeRange,
)
from reidclip.serve.decode import FORMATS, LARGE_PIXELS, decode_picture, open_picture
from reidclip.serve.request import SearchRequest
from reidclip.serve.settings import ServeSettings
from reidclip.serve.wearing import Wearing

if TYPE_CHECKING:
    from reidclip.clip.inference import InferenceEncoder
    from reidclip.evaluation.settings import RerankSettings

_CLOCK = 1e8  # seconds: no video is three years long, and no clock of a camera stands before 1973


class Finder:
    """Answers searches; made once, asked by several threads.

    Args:
        gallery: an open index.
        encoder: that of its vectors, in evaluation mode.
        settings: limits.
    """

    def __init__(self, gallery: Gallery, encoder: InferenceEncoder, settings: ServeSettings) -> None:
        self._gallery, self._encoder, self._settings = gallery, encoder, settings
        self._wearing = Wearing(gallery, settings.device)
        self._alone = threading.Lock()  # of large pictures: one at a time, which bounds memory
        about, model = gallery.about, gallery.model
        self.model = ModelInfo(ref=model.ref, digest=model.digest, width=model.width, measure=model.measure)
        recall = (about.recall or {}).get("recall")
        self.index = IndexInfo(
            ref=gallery.artifact.ref,
            digest=gallery.artifact.digest,
            backend=about.backend,
            count=about.count,
            recall=float(recall) if isinstance(recall, int | float) else None,
        )
        self.info = self._info()
        self.folders = tuple(
            sorted({str(f) for p in (gallery.root, gallery.store.root) for f in (p, p.absolute(), p.resolve())} - {".", "/"})
        )

    def search(self, asked: SearchRequest, data: bytes | None) -> SearchAnswer:
        """Find what is nearest to a picture (its file's content), or to an item.

        Raises:
            Refusal: a file that is no picture.
            UserError, WorkError: see `Gallery.search`; an unknown item.
        """
        begun = time.perf_counter()
        if data is not None:
            query, vector, own = self._seen(asked, data)
        else:
            row = self._gallery.row_of(asked.item or "")
            vector = self._gallery.vectors([row])
            item = self._gallery.items[row]
            query = QueryInfo(kind="item", item=ItemInfo.of(row, item, self.index))
            own = self._gallery.wears(row) if asked.query_clothes is None else Worn(asked.query_clothes)
        wanted = self._filter(asked, own, query.item)
        found = self._gallery.search(vector, asked.top, wanted, self._rerank(asked), asked.expand)[0]
        allowed = self._gallery.allowed(wanted)
        return SearchAnswer(
            query=query.model_copy(update={"clothes": own.group if asked.other_clothes else None}),
            hits=[HitInfo.at(hit, self.index) for hit in found],
            allowed=len(self._gallery.items) if allowed is None else int(np.count_nonzero(allowed)),
            reranked=asked.rerank,
            note=MAY_ERR if asked.other_clothes and self._wearing.known else None,
            index=self.index,
            model=self.model,
            milliseconds=round((time.perf_counter() - begun) * 1000, 1),
        )

    def _seen(self, asked: SearchRequest, data: bytes) -> tuple[QueryInfo, np.ndarray, Worn]:
        """An uploaded picture's facts, its vector (1, D), and its clothes where they are asked for; of it nothing is left."""
        image = open_picture(data, self._settings.max_pixels)
        with self._alone if image.width * image.height > LARGE_PIXELS else nullcontext():
            picture = decode_picture(image)
            del image  # its memory is wanted for the next step
            vector = embed_pictures(self._encoder, [picture])
            own = Worn() if asked.query_clothes is None else Worn(asked.query_clothes)
            if asked.other_clothes and asked.query_clothes is None:
                own = self._wearing.of(picture)
        return QueryInfo(kind="picture", width=picture.shape[1], height=picture.shape[0]), vector, own

    def _filter(self, asked: SearchRequest, own: Worn, item: ItemInfo | None) -> Filter:
        wanted = asked.wanted
        if item is not None:
            wanted = replace(wanted, not_items=(item.key,))
        if not asked.other_clothes:
            return wanted
        if own.group == UNKNOWN:
            raise UserError("Nobody knows which clothes the query wears.", "Search without 'other clothes only', or say which they are.")
        return own.left_out(wanted)

    def _rerank(self, asked: SearchRequest) -> RerankSettings | None:
        if not asked.rerank:
            return None
        from reidclip.evaluation.settings import RerankSettings

        return RerankSettings()

    # ------------------------------------------------------------------------------------------------------- what there is
    def _info(self) -> Info:
        columns, settings, clothes = self._gallery.columns, self._settings, self._gallery.about.clothes
        times = columns.times[~np.isnan(columns.times)]
        names = columns.domain_names
        return Info(
            version=__version__,
            index=self.index,
            model=self.model,
            cameras=_counted(int(c) for c in columns.cameras if c >= 0),
            domains=_counted(names[int(d)] for d in columns.domains if names[int(d)]),
            time=_range(times) if len(times) else None,
            clothes=ClothesInfo(mode=clothes.mode, count=clothes.count, of_pictures=self._wearing.known),
            limits=Limits(upload_bytes=settings.max_upload, pixels=settings.max_pixels, top=settings.max_top, types=FORMATS),
        )


def _counted(values: Iterable[int | str]) -> list[Count]:
    return [Count(value=value, count=count) for value, count in sorted(Counter(values).items())]


def _range(times: np.ndarray) -> TimeRange:
    return TimeRange(earliest=float(times.min()), latest=float(times.max()), clock=bool(times.max() > _CLOCK))
