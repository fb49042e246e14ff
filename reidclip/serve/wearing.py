"""Which clothes an uploaded picture shows, as an index of clusters numbers them."""

from __future__ import annotations

import threading

import numpy as np

from reidclip.data.images import resize
from reidclip.gallery.about import CENTROIDS_FILE
from reidclip.gallery.gallery import Gallery
from reidclip.gallery.worn import Worn

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

    def of(self, picture: np.ndarray) -> Worn:
        """The cluster and the descriptor of a picture (H, W, 3) uint8; unknown where there are none or no clothes are seen."""
        if not self.known:
            return Worn()
        from reidclip.gallery.clothes import clothes_descriptors
        from reidclip.gallery.clusters import nearest_centroid

        height, width = picture.shape[:2]
        if height * width > _MOST_PIXELS:
            scale = (_MOST_PIXELS / (height * width)) ** 0.5
            picture = resize(picture, max(1, round(height * scale)), max(1, round(width * scale)), "bilinear")
        with self._lock:  # a parser is asked by one thread at a time
            found = clothes_descriptors([picture], self._parser)
        return Worn.seen(nearest_centroid(found, self._centroids)[0], found[0])
