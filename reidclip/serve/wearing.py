"""Which clothes an uploaded picture shows, as an index of clusters numbers them."""

from __future__ import annotations

import threading

import numpy as np

from reidclip.data.images import resize
from reidclip.gallery.about import CENTROIDS_FILE
from reidclip.gallery.gallery import Gallery

_MOST_PIXELS = 1_000_000  # shares of colours do not hang on the size; the memory that they take does


class Wearing:
    """The parser and the centroids of an index whose clothes are clusters; knows nothing of others'.

    Attributes:
        known: whether `of` can tell.
    """

    def __init__(self, gallery: Gallery, device: str) -> None:
        self.known = gallery.about.clothes.mode == "clusters"
        self._lock = threading.Lock()
        if self.known:
            from reidclip.gallery.clothes import clothes_parser
            from reidclip.gallery.clusters import load_centroids

            self._centroids = load_centroids(gallery.artifact.file(CENTROIDS_FILE))
            self._parser = clothes_parser(device=device)

    def of(self, picture: np.ndarray) -> int | None:
        """The cluster of a picture (H, W, 3) uint8; None where none is known or no clothes are seen."""
        if not self.known:
            return None
        from reidclip.gallery.clothes import clothes_descriptors
        from reidclip.gallery.clusters import nearest_centroid

        height, width = picture.shape[:2]
        if height * width > _MOST_PIXELS:
            scale = (_MOST_PIXELS / (height * width)) ** 0.5
            picture = resize(picture, max(1, round(height * scale)), max(1, round(width * scale)), "bilinear")
        with self._lock:  # a parser is asked by one thread at a time
            found = clothes_descriptors([picture], self._parser)
        group = int(nearest_centroid(found, self._centroids)[0])
        return group if group >= 0 else None
