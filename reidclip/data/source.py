"""Pictures and masks by index, decoded from disk or taken from a cache in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidclip.data.files import mirrored
from reidclip.data.images import UInt8, read_mask_png, read_picture, resize, resize_nearest
from reidclip.data.shielding import WHITE, Colour
from reidclip.errors import UserError, WorkError
from reidclip.records import Dataset, Sample

if TYPE_CHECKING:
    from reidclip.data.transforms import Transform


class ImageSource:
    """Pictures, and masks when asked for, by index; index ``i`` belongs to ``samples[i]`` of whoever made the source.

    Args:
        paths: one picture per index.
        keep_paths: one mask file per index (1 = not clothes), or None.
        cache_bytes: resized pictures are kept in memory when all of them fit in so many bytes; 0 keeps none. A source
            whose pictures fit is read in the calling process, whatever the number of workers.
        shielding: RGB that takes the place of what a mask hides, as the masks artifact says; white is CCAF's eq. (4).
    """

    def __init__(
        self, paths: Sequence[Path], keep_paths: Sequence[Path] | None = None, *, cache_bytes: int = 2**30, shielding: Colour = WHITE
    ) -> None:
        if keep_paths is not None and len(keep_paths) != len(paths):
            raise ValueError(f"{len(paths)} pictures but {len(keep_paths)} masks")
        self.paths = tuple(paths)
        self.keep_paths = None if keep_paths is None else tuple(keep_paths)
        self.cache_bytes = cache_bytes
        self.shielding = shielding
        self._cache: dict[int, tuple[UInt8, UInt8 | None]] = {}
        self._cached_for: tuple[int, int, str] | None = None

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        samples: Sequence[Sample],
        *,
        masks: Path | None = None,
        cache_bytes: int = 2**30,
        shielding: Colour = WHITE,
    ) -> ImageSource:
        """Source of some samples of a data set; ``masks`` is a folder of 1-bit PNGs that mirrors the relative paths.

        Raises:
            UserError: a sample has no mask there; names the first and says how many.
        """
        paths = [dataset.absolute(s) for s in samples]
        if masks is None:
            return cls(paths, cache_bytes=cache_bytes)
        keep_paths = [masks / mirrored(s.path) for s in samples]
        missing = [path for path in keep_paths if not path.is_file()]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(paths)} pictures have no mask; the first is {missing[0]}.", "Run `reidclip mask` on this data set."
            )
        return cls(paths, keep_paths, cache_bytes=cache_bytes, shielding=shielding)

    def __len__(self) -> int:
        return len(self.paths)

    def __getstate__(self) -> dict[str, Any]:
        """Worker processes get the paths, not the cache."""
        return {**self.__dict__, "_cache": {}, "_cached_for": None}

    @property
    def has_masks(self) -> bool:
        """Whether `decode_keep` has masks to give."""
        return self.keep_paths is not None

    def decode(self, index: int) -> UInt8:
        """The picture as it is on disk, upright: (H, W, 3) uint8 RGB. Raises `WorkError` naming a broken file."""
        return read_picture(self.paths[index])

    def decode_keep(self, index: int) -> UInt8:
        """The mask as it is on disk: (H, W) uint8, 1 = not clothes. Raises `WorkError` naming a broken file."""
        if self.keep_paths is None:
            raise ValueError("this source has no masks")
        return read_mask_png(self.keep_paths[index])

    def fits_cache(self, transform: Transform) -> bool:
        """Whether all pictures at the transform's size fit in the cache."""
        planes = 4 if self.has_masks else 3
        return len(self) * planes * transform.height * transform.width <= self.cache_bytes

    def resized(self, index: int, transform: Transform) -> tuple[UInt8, UInt8 | None]:
        """Picture (H, W, 3) and mask (H, W) or None at the transform's size, from the cache when they are there.

        The arrays are shared with the cache: do not write to them.

        Raises:
            WorkError: a broken file, or a mask that is not of its picture's size.
        """
        if not self.fits_cache(transform):
            return self._decode_resized(index, transform)
        wanted = (transform.height, transform.width, transform.resize)
        if self._cached_for != wanted:
            self._cache, self._cached_for = {}, wanted
        if index not in self._cache:
            self._cache[index] = self._decode_resized(index, transform)
        return self._cache[index]

    def _decode_resized(self, index: int, transform: Transform) -> tuple[UInt8, UInt8 | None]:
        image = self.decode(index)
        small = resize(image, transform.height, transform.width, transform.resize)
        if self.keep_paths is None:
            return small, None
        keep = self.decode_keep(index)
        if keep.shape != image.shape[:2]:
            raise WorkError(
                f"Mask {self.keep_paths[index]} is {keep.shape[1]} x {keep.shape[0]} pixels, "
                f"its picture {self.paths[index]} {image.shape[1]} x {image.shape[0]}.",
                "The masks belong to another version of the data: run `reidclip mask` again.",
            )
        return small, resize_nearest(keep, transform.height, transform.width)
