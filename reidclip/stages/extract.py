"""``reidclip extract`` as a function: pictures, crops and frames to a ``vectors`` artifact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.names import check_name, safe_name
from reidclip.artifacts.store import Store
from reidclip.data.join import roots_of
from reidclip.errors import UserError
from reidclip.gallery.embed import BATCH_SIZE
from reidclip.gallery.open_sources import open_sources
from reidclip.gallery.reading import Reading
from reidclip.gallery.sources import Opened
from reidclip.records import Dataset
from reidclip.stages.choose import Say, checkpoint_for, dataset_for, learned_from
from reidclip.stages.evaluate import DEFAULT_CLIP, subject_of
from reidclip.train.device import pick_device
from reidclip.train.precision import check_precision

PerTrack = Literal["crops", "mean"]


@dataclass(frozen=True)
class ExtractJob:
    """An extraction with everything decided and no weights loaded.

    Attributes:
        opened: what is read.
        checkpoint: whose encoder; None takes the plain CLIP ``clip``.
        reading: how the sources were read.
        per_track: "mean" gives one vector per track, the mean of its crops'.
        clothes: also describe the clothes.
        parquet: also write a table.
        flip: average each vector with that of the mirrored picture; None: as the encoder was saved.
    """

    opened: Opened
    store: Store
    checkpoint: Artifact | None
    clip: str
    name: str
    reading: Reading = field(default_factory=Reading)
    per_track: PerTrack = "crops"
    clothes: bool = False
    parquet: bool = False
    flip: bool | None = None
    device: str = "auto"
    precision: str = "fp32"
    workers: int | None = None
    batch_size: int = BATCH_SIZE
    fresh: bool = False
    say: Say = field(default=lambda text: None, compare=False)

    def plan(self) -> dict[str, Any]:
        """The resolved configuration, for --dry-run and the manifest."""
        kinds = [source.kind for source in self.opened.sources]
        reading = self.reading
        return {
            "command": "extract",
            "root": str(self.opened.root),
            "sources": [{"kind": s.kind, "items": len(s.items), "first": s.items[0].key} for s in self.opened.sources],
            "items": sum(len(s.items) for s in self.opened.sources),
            "checkpoint": self.checkpoint.ref if self.checkpoint else None,
            "zero_shot": None if self.checkpoint else self.clip,
            "splits": list(reading.splits),
            **(_of_frames(reading) if "video" in kinds or reading.mot else {}),
            "per_track": self.per_track,
            "clothes": self.clothes,
            "parquet": self.parquet,
            "flip": self.flip,
            "on_error": reading.on_error,
            "batch_size": self.batch_size,
            "device": str(pick_device(self.device)),
            "precision": self.precision,
            "writes": f"vectors/{self.name}",
        }


def plan_extract(
    sources: Sequence[Path | str],
    store: Store,
    *,
    checkpoint: str | Artifact | None = None,
    zero_shot: bool = False,
    clip: str | None = None,
    layout: str | Sequence[str] | None = None,
    reading: Reading | None = None,
    per_track: PerTrack = "crops",
    clothes: bool = False,
    parquet: bool = False,
    flip: bool | None = None,
    name: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    batch_size: int = BATCH_SIZE,
    fresh: bool = False,
    say: Say = lambda text: None,
) -> ExtractJob:
    """Decide what is extracted by which encoder.

    Args:
        sources: data sets, folders of pictures, pictures, videos, folders of frames; empty takes the data of the newest checkpoint.
        store: where the artifact goes.
        checkpoint: itself or its reference; None takes the newest trained on this data, else the newest of all.
        zero_shot: the plain CLIP instead; ``clip`` says which.
        layout: of the data sets, one or as many as there are.
        reading: which frames, boxes and splits.
        per_track: "mean": one vector per track.
        clothes: also store descriptors of clothes.
        parquet: also write ``vectors.parquet``.
        flip: average each vector with that of the mirrored picture; None: as the encoder was saved.
        fresh: throw away what an interrupted run left.

    Raises:
        UserError: anything that does not fit. WorkError: a video that cannot be decoded.
    """
    if zero_shot and checkpoint:
        raise UserError("A checkpoint and --zero-shot exclude each other.", "Leave one of them out.")
    if clip and not zero_shot:
        raise UserError("--clip names a plain CLIP, which only --zero-shot takes.", "Add --zero-shot, or leave --clip out.")
    check_precision(precision, pick_device(device))
    reading = reading or Reading()
    given: Sequence[Path] = [Path(source) for source in sources]
    if not given:
        given = roots_of(dataset_for(None, layout, store, ("checkpoint", "evaluation"), say))
    opened = open_sources(given, layout, reading, say)
    if per_track == "mean" and not any(item.track >= 0 for item in opened.items):
        raise UserError("--per-track mean: nothing here has tracks.", "Give a tracker's output with --mot, or leave it out.")
    chosen = None if zero_shot else _checkpoint(checkpoint, opened.dataset, store, say)
    for note in opened.notes:
        say(f"note: {note}")
    spec = clip or DEFAULT_CLIP
    return ExtractJob(
        opened,
        store,
        chosen,
        spec,
        check_name(name or _default_name(subject_of(chosen, spec), given)),
        reading,
        per_track,
        clothes,
        parquet,
        flip,
        device,
        precision,
        workers,
        batch_size,
        fresh,
        say,
    )


def extract(job: ExtractJob, progress: Callable[[int, int], None] | None = None) -> Artifact:
    """Run a planned extraction and commit its artifact; an interrupted one goes on.

    Args:
        progress: told (done, total) of the items.

    Raises:
        WorkError: a broken picture or video, a full disk. UserError: see `reidclip.stages.evaluate_encoder.load_checkpoint`.
    """
    from reidclip.stages.extract_run import run

    return run(job, progress or (lambda done, total: None))


def _of_frames(reading: Reading) -> dict[str, Any]:
    return {
        "mot": [str(path) for path in reading.mot],
        "whole_frames": reading.whole_frames,
        "every": reading.every,
        "min_size": reading.min_size,
        "min_confidence": reading.min_confidence,
        "padding": reading.padding,
        "cameras": list(reading.cameras),
        "starts": list(reading.starts),
        "fps": reading.fps,
    }


def _checkpoint(named: str | Artifact | None, dataset: Dataset | None, store: Store, say: Say) -> Artifact:
    """The one named, else the newest trained on this data, else the newest of all: vectors of any pictures are asked for."""
    if isinstance(named, Artifact):
        return named
    if named is None and dataset is not None:
        trained_here = store.newest("checkpoint", learned_from(dataset))
        if trained_here is not None:
            say(f"checkpoint: {trained_here.ref} (the newest trained on this data)")
            return trained_here
    return checkpoint_for(named, None, store, say, ", or take the plain CLIP with --zero-shot")


def _default_name(subject: str, sources: Sequence[Path]) -> str:
    """Checkpoint and first source: "cal-prcc", "cal-prcc-hall"."""
    called = safe_name(sources[0].resolve().stem.lower()) + (f"-and-{len(sources) - 1}-more" if len(sources) > 1 else "")
    return safe_name(subject if subject.endswith(f"-{called}") else f"{subject}-{called}")
