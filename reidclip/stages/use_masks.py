"""What readers of a ``masks`` artifact need to know of it: the shielding colour, and which pictures it covers."""

from __future__ import annotations

from collections.abc import Sequence

from reidclip.artifacts.store import Artifact
from reidclip.counted import counted, which
from reidclip.data.files import mirrored
from reidclip.data.shielding import WHITE, Colour, colour_of
from reidclip.errors import UserError, WorkError
from reidclip.records import Sample

KEEP = "keep"


def keep_file(path: str) -> str:
    """Payload path of the mask of a picture (relative path)."""
    return f"{KEEP}/{mirrored(path)}"


def shielding_of(masks: Artifact | None) -> Colour:
    """The colour that takes the place of clothes; white for masks that were made before there was a choice.

    Raises:
        WorkError: the manifest holds no colour there.
    """
    given = WHITE if masks is None else masks.manifest.config.get("shielding", WHITE)
    try:
        return colour_of(given)
    except (TypeError, ValueError) as error:
        where = masks.path if masks else ""
        raise WorkError(f"The manifest of {where} names a shielding colour {given!r}, which is none.", "Make the masks again.") from error


def without_mask(masks: Artifact, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples that were left out when the masks were made, with --on-error skip; of tracklets those all of whose frames were."""
    return tuple(s for s in samples if not any(keep_file(path) in masks.files for path in s.pictures))


def notes_without_mask(masks: Artifact, samples: Sequence[Sample]) -> list[str]:
    """Sentences on training pictures and tracklets without a mask, and on such frames of tracklets that have others."""
    lost = set(without_mask(masks, samples))
    found = {
        ("training picture", "training pictures"): [s.path for s in samples if s in lost and not s.frames],
        ("training tracklet", "training tracklets"): [s.path for s in samples if s in lost and s.frames],
        ("frame of a training tracklet", "frames of training tracklets"): [
            path for s in samples if s not in lost for path in s.frames if keep_file(path) not in masks.files
        ],
    }
    none = f"no mask in {masks.ref} and"
    return [
        f"{counted(len(paths), f'{one} has {none} is left out', f'{many} have {none} are left out')}; {which(paths)}"
        for (one, many), paths in found.items()
        if paths
    ]


def with_masks(masks: Artifact, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples that have a mask, tracklets with those frames that have one.

    The others were left out on purpose when the masks were made, so they are left out here.

    Raises:
        UserError: an identity loses all of its pictures.
    """
    left_out = set(without_mask(masks, samples))
    kept = tuple(s.with_frames(tuple(f for f in s.frames if keep_file(f) in masks.files)) for s in samples if s not in left_out)
    lost = sorted({s.pid for s in samples} - {s.pid for s in kept})
    if lost:
        first = next(s.path for s in samples if s.pid == lost[0])
        raise UserError(
            f"Masks {masks.ref} cover no training picture of {len(lost)} identities; the first is {lost[0]} ({first}).",
            "Mend those pictures or add their label maps and run `reidclip mask` again, or take the identities out of the data set.",
        )
    return kept
