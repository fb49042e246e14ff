"""What the queries of a search wear, for searches for other clothes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from reidclip.data.images import UInt8
from reidclip.errors import UserError
from reidclip.gallery.about import CENTROIDS_FILE
from reidclip.gallery.clothes import DEFAULT_PARSER, clothes_descriptors, clothes_parser
from reidclip.gallery.clusters import load_centroids, nearest_centroid
from reidclip.gallery.gallery import Gallery
from reidclip.gallery.query_encoder import ZERO_SHOT
from reidclip.gallery.worn import MAY_ERR, UNKNOWN, Worn
from reidclip.stages.choose import Say
from reidclip.train.device import pick_device


def worn_by(
    gallery: Gallery,
    names: Sequence[str],
    pictures: Sequence[UInt8],
    rows: Sequence[int],
    parser: str = DEFAULT_PARSER,
    device: str = "auto",
    say: Say = lambda text: None,
) -> list[Worn]:
    """What pictures, then items, wear, as far as the index can tell.

    Args:
        names: of all of them, for what is told.

    Raises:
        UserError: there are pictures, and the index has no groups of clothes.
    """
    worn = [*clothes_of(gallery, pictures, parser, device), *map(gallery.wears, rows)]
    if gallery.about.clothes.mode == "clusters":
        say(f"note: {MAY_ERR}")
    for name, one in zip(names, worn, strict=True):
        if one.group == UNKNOWN:
            say(f"note: nobody knows what {name} wears: all clothes answer to it")
    return worn


def clothes_of(gallery: Gallery, pictures: Sequence[UInt8], parser: str = DEFAULT_PARSER, device: str = "auto") -> list[Worn]:
    """The clothes in each picture: the index's group, and their descriptor.

    Raises:
        UserError: the index has no groups of clothes, so that a picture says nothing about them.
    """
    if not pictures:
        return []
    about = gallery.about
    if about.clothes.mode != "clusters":
        knows = "labels of clothes, which a picture does not show" if about.clothes.mode == "labels" else "no clothes"
        data = " ".join(shlex.quote(place.root) for place in about.places) or "DATA"
        plain = gallery.model.ref.startswith(ZERO_SHOT)
        by = f"--zero-shot --clip {gallery.model.ref.removeprefix(ZERO_SHOT)}" if plain else f"--checkpoint {gallery.model.ref}"
        raise UserError(
            f"Index {gallery.artifact.ref} has {knows}.",
            f"Say what the query wears (--query-clothes N), or group clothes:\nreidclip extract {data} --clothes {by} "
            f"&& reidclip index build --clothes clusters",
        )
    centroids = load_centroids(gallery.artifact.file(CENTROIDS_FILE))
    described = clothes_descriptors(pictures, clothes_parser(parser, pick_device(device)))
    return [Worn.seen(group, row) for group, row in zip(nearest_centroid(described, centroids), described, strict=True)]
