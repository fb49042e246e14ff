"""Pictures and masks by index, decoded from disk or taken from a cache."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reidclip.data.at_work import at
from reidclip.data.cache import Cache, Pictures, in_memory, key_of, packed
from reidclip.data.face_blur import FaceBlur, blur_faces, read_labels
from reidclip.data.files import mirrored
from reidclip.data.images import Decoding, Filter, UInt8, read_mask_png, read_picture, read_resized, resize, resize_nearest
from reidclip.data.packed import SCHEMA_VERSION
from reidclip.data.shielding import WHITE, Colour
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset, Sample

if TYPE_CHECKING:
    from reidclip.data.transforms import Transform

Size = tuple[int, int, Filter]
DecodeAll = Callable[[Pictures, int], Iterator[UInt8]]
"""(pictures, how many) -> all of them in order."""


class ImageSource:
    """Pictures, and masks when asked for, by index; index ``i`` belongs to ``samples[i]`` of whoever made the source.

    Args:
        paths: one picture per index; of tracklets all frames, one tracklet after the other.
        keep_paths: one mask file per path (1 = not clothes), or None.
        groups: of tracklets, per index the places of its frames in ``paths``; None where every sample is a picture.
        cache: what becomes of resized pictures.
        shielding: RGB that takes the place of what a mask hides, as the masks artifact says; white is CCAF's eq. (4).
        decoding: "fast" halves large JPEGs while it decodes them, see `reidclip.data.images.read_resized`.
        face_maps: per path the label map by which its face is blurred, None where there is none; None blurs nothing.
        blur: which labels are face, and what stands for the blur in a cache's key.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        keep_paths: Sequence[Path] | None = None,
        *,
        groups: Sequence[Sequence[int]] | None = None,
        cache: Cache | None = None,
        shielding: Colour = WHITE,
        decoding: Decoding = "exact",
        face_maps: Sequence[Path | None] | None = None,
        blur: FaceBlur | None = None,
    ) -> None:
        if keep_paths is not None and len(keep_paths) != len(paths):
            raise ValueError(f"{len(paths)} pictures but {len(keep_paths)} masks")
        self.paths = tuple(paths)
        self.keep_paths = None if keep_paths is None else tuple(keep_paths)
        self.groups = None if groups is None else tuple(groups)
        self.cache = cache or Cache()
        self.shielding = shielding
        self.decoding: Decoding = decoding
        self.face_maps = None if face_maps is None else tuple(face_maps)
        self.blur = blur or FaceBlur(())
        self._kept: tuple[Size, Pictures] | None = None

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        samples: Sequence[Sample],
        *,
        masks: Path | None = None,
        cache: Cache | None = None,
        shielding: Colour = WHITE,
        decoding: Decoding = "exact",
        blur: FaceBlur | None = None,
    ) -> ImageSource:
        """Source of some samples of a data set; ``masks`` is a folder of 1-bit PNGs that mirrors the relative paths.

        A cache on disk gets the data set's name and, added to its identity, its fingerprint and the samples' paths. Where one of the
        samples is a tracklet, all of them are groups of frames. ``blur``: faces of these pictures are blurred as they are decoded.

        Raises:
            UserError: a sample has no mask there; names the first and says how many.
        """
        pictures = [path for s in samples for path in s.pictures]
        paths = [dataset.file(path) for path in pictures]
        groups = _groups(samples) if any(s.frames for s in samples) else None
        if cache is not None and cache.kind == "disk":
            facts = "\n".join([cache.identity, dataset.fingerprint, *pictures])
            cache = replace(cache, identity=hashlib.sha256(facts.encode()).hexdigest(), name=dataset.name)
        face_maps = None if blur is None else [blur.maps.get(path) for path in pictures]
        if masks is None:
            return cls(paths, groups=groups, cache=cache, decoding=decoding, face_maps=face_maps, blur=blur)
        keep_paths = [masks / mirrored(path) for path in pictures]
        missing = [path for path in keep_paths if not path.is_file()]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(paths)} pictures have no mask; the first is {missing[0]}.", "Run `reidclip mask` on this data set."
            )
        return cls(
            paths,
            keep_paths,
            groups=groups,
            cache=cache,
            shielding=shielding,
            decoding=decoding,
            face_maps=face_maps,
            blur=blur,
        )

    def regrouped(self, groups: Sequence[Sequence[int]]) -> ImageSource:
        """The same files as other groups of frames, each of places in ``paths``; nothing that is kept is shared."""
        return ImageSource(
            self.paths,
            self.keep_paths,
            groups=groups,
            cache=self.cache,
            shielding=self.shielding,
            decoding=self.decoding,
            face_maps=self.face_maps,
            blur=self.blur,
        )

    def __len__(self) -> int:
        return len(self.paths if self.groups is None else self.groups)

    @property
    def has_masks(self) -> bool:
        """Whether `decode_keep` has masks to give."""
        return self.keep_paths is not None

    def decode(self, index: int) -> UInt8:
        """The picture (or frame) of that place in ``paths`` as it is on disk, upright, its face blurred if asked: (H, W, 3) uint8 RGB.

        Raises:
            WorkError: a broken file, or a label map of another size; names it.
        """
        at(self.paths[index])
        picture = read_picture(self.paths[index])
        face_map = None if self.face_maps is None else self.face_maps[index]
        return picture if face_map is None else _without_face(picture, self.paths[index], face_map, self.blur.labels)

    def decode_keep(self, index: int) -> UInt8:
        """The mask as it is on disk: (H, W) uint8, 1 = not clothes. Raises `WorkError` naming a broken file."""
        if self.keep_paths is None:
            raise ValueError("this source has no masks")
        at(self.keep_paths[index])
        return read_mask_png(self.keep_paths[index])

    def pictures(self, transform: Transform, decode_all: DecodeAll | None = None) -> Pictures:
        """All pictures by their place in ``paths``, at the transform's size, (3, H, W) uint8 each, or (4, H, W) with the mask.

        They are kept as the cache says.

        Args:
            transform: gives height, width and filter.
            decode_all: how to read every picture in order, for a cache on disk that has to be made; None reads them in this process.

        Raises:
            UserError, WorkError: the cache cannot be had, see `reidclip.data.cache`; later a broken file, or a mask that is not of its
                picture's size.
        """
        size: Size = (transform.height, transform.width, transform.resize)
        if self._kept is None or self._kept[0] != size:
            self._kept = None  # before another one is made: both may not fit
            self._kept = (size, self._keep(size, decode_all or _in_this_process))
        return self._kept[1]

    def _keep(self, size: Size, decode_all: DecodeAll) -> Pictures:
        decoded = Decoded(self.paths, self.keep_paths, size, self.decoding, self.face_maps, self.blur.labels)
        shape = (len(self.paths), 4 if self.has_masks else 3, size[0], size[1])
        if self.cache.kind == "disk":
            files = [*self.paths, *(self.keep_paths or ()), *filter(None, self.face_maps or ())]
            facts = {"schema": SCHEMA_VERSION, "shape": shape, "filter": size[2], "decoding": self.decoding}
            if self.face_maps is not None:
                facts["faces"] = [self.blur.identity, list(self.blur.labels)]
            return packed(self.cache, key_of(self.cache, files, facts), shape, lambda: decode_all(decoded, len(self.paths)))
        if self.cache.kind == "none":
            return decoded
        return in_memory(self.cache, decoded, shape) or decoded

    def __getstate__(self) -> dict[str, Any]:
        """Another process gets the paths, not what is kept."""
        return {**self.__dict__, "_kept": None, "cache": replace(self.cache, say=_silent, progress=None)}


def _groups(samples: Sequence[Sample]) -> list[range]:
    """Places of every sample's files when those of all samples are put one after the other."""
    ends = list(itertools.accumulate(len(s.pictures) for s in samples))
    return [range(end - len(s.pictures), end) for s, end in zip(samples, ends, strict=True)]


class Decoded:
    """Planes by index, decoded and resized whenever they are asked for."""

    def __init__(
        self,
        paths: Sequence[Path],
        keep_paths: Sequence[Path] | None,
        size: Size,
        decoding: Decoding,
        face_maps: Sequence[Path | None] | None = None,
        face_labels: Sequence[int] = (),
    ) -> None:
        self.paths, self.keep_paths, self.size, self.decoding = paths, keep_paths, size, decoding
        self.face_maps, self.face_labels = face_maps, face_labels

    def __getitem__(self, index: int) -> UInt8:
        """See `ImageSource.pictures`."""
        path = self.paths[index]
        height, width, method = self.size
        at(path)
        face_map = None if self.face_maps is None else self.face_maps[index]
        if face_map is None:
            image, native = read_resized(path, height, width, method, self.decoding)
        else:  # at the size that the labels have, before anything is resized; whole pixels, also where others are decoded fast
            picture = _without_face(read_picture(path), path, face_map, self.face_labels)
            image, native = resize(picture, height, width, method), (picture.shape[0], picture.shape[1])
        planes = np.empty((3 if self.keep_paths is None else 4, height, width), np.uint8)
        planes[:3] = image.transpose(2, 0, 1)
        if self.keep_paths is not None:
            keep_path = self.keep_paths[index]
            at(keep_path)
            keep = read_mask_png(keep_path)
            if keep.shape != native:
                raise WorkError(
                    f"Mask {keep_path} is {keep.shape[1]} x {keep.shape[0]} pixels, its picture {path} {native[1]} x {native[0]}.",
                    "The masks belong to another version of the data: run `reidclip mask` again.",
                )
            planes[3] = resize_nearest(keep, height, width)
        return planes


def _without_face(picture: UInt8, path: Path, face_map: Path, labels: Sequence[int]) -> UInt8:
    at(face_map)
    blurred = blur_faces(picture, read_labels(face_map, (picture.shape[0], picture.shape[1]), path), labels)
    at(path)
    return blurred


def _in_this_process(pictures: Pictures, count: int) -> Iterator[UInt8]:
    return (pictures[index] for index in range(count))


def _silent(text: str) -> None:
    pass
