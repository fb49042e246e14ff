"""The work of ``reidclip extract``: blocks of vectors, then the artifact from them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import __version__ as pillow

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.draft import Draft
from reidclip.artifacts.manifest import DatasetRef, InputRef
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.counted import counted, which
from reidclip.errors import UserError, WorkError
from reidclip.gallery.blocks import Block, BlockFiles, spans
from reidclip.gallery.clothes import clothes_descriptors, clothes_parser
from reidclip.gallery.crops import Batch, Size, read_batches
from reidclip.gallery.embed import embed_resized
from reidclip.gallery.items import Item
from reidclip.gallery.model import VectorModel
from reidclip.gallery.parquet import write_parquet
from reidclip.gallery.tracks import track_means
from reidclip.gallery.vectors import write_vector_blocks
from reidclip.interfaces import ParserSession
from reidclip.stages.evaluate_encoder import check_cameras, load_checkpoint
from reidclip.stages.extract import ExtractJob
from reidclip.stages.trained_on import provenance
from reidclip.train.device import pick_device

LEFT_OUT_FILE = "left_out.json"

Progress = Callable[[int, int], None]


def run(job: ExtractJob, progress: Progress) -> Artifact:
    """See `reidclip.stages.extract.extract`."""
    device = pick_device(job.device)
    encoder = _encoder(job, device)
    _check_cameras(encoder, job)
    model = VectorModel.of(job.checkpoint.ref if job.checkpoint else f"zero-shot:{job.clip}", encoder)
    parser = clothes_parser(device=device) if job.clothes else None
    with job.store.create("vectors", job.name, resume_key=_resume_key(job, model, parser)) as draft:
        files = _files(draft, job)
        total = len(spans(job.opened.sources, job.batch_size))
        resumed = _make_blocks(job, encoder, parser, files, progress)
        items, left_out = _items(job, files, total)
        if not items:
            raise WorkError(f"None of the {len(left_out)} pictures in {job.opened.root} could be read.", "Look at the first with a viewer.")
        _write(job, draft, files, total, items, model, parser)
        if left_out:
            draft.write(LEFT_OUT_FILE, json.dumps([item.key for item in left_out], indent=0).encode() + b"\n")
        files.remove()
        _describe(job, draft, model, left_out, resumed, device)
    return draft.artifact


def _encoder(job: ExtractJob, device: torch.device) -> InferenceEncoder:
    if job.checkpoint is not None:
        return load_checkpoint(job.checkpoint, device, job.flip)
    clip = load_clip(job.clip, device=device)
    options = InferenceOptions(mean=clip.mean, std=clip.std, flip=bool(job.flip))
    return InferenceEncoder(clip.image_encoder, options).eval()


def _check_cameras(encoder: InferenceEncoder, job: ExtractJob) -> None:
    """Camera embeddings, where the encoder has some, are those of the sources."""
    if not encoder.image_encoder.config.sie_cameras:
        return
    dataset = job.opened.dataset
    if dataset is None or any(source.cameras is None for source in job.opened.sources):
        raise UserError(
            "The encoder has embeddings of its training's cameras, and nothing says which of them took these pictures.",
            "Extract from the data set it was trained on, or fine-tune with --set sie_camera=false.",
        )
    check_cameras(encoder, dataset.samples, dataset, provenance(job.checkpoint, dataset))


def _files(draft: Draft, job: ExtractJob) -> BlockFiles:
    """Of this draft; what else an interrupted run left there is thrown away, and with --fresh the blocks too."""
    files = BlockFiles(draft)
    if job.fresh:
        files.remove()
        draft.existing = frozenset()
    for path in draft.path.iterdir():
        if path.is_file():
            path.unlink()
    return files


def _make_blocks(job: ExtractJob, encoder: InferenceEncoder, parser: ParserSession | None, files: BlockFiles, progress: Progress) -> int:
    """Compute what is missing; gives how many items earlier runs did."""
    sources = job.opened.sources
    total = sum(len(source.items) for source in sources)
    every = spans(sources, job.batch_size)
    todo = [span for span in every if not files.has(span.number)]
    resumed = done = total - sum(span.stop - span.start for span in todo)
    if resumed:
        job.say(f"going on with an interrupted run: {resumed} of {total} are done")
    height, width = encoder.image_encoder.config.image_size
    size = Size(height, width, encoder.options.resize)
    for number, source in enumerate(sources):
        own = [span for span in todo if span.source == number]
        plan = [batch for span in own for batch in span.batches(job.batch_size)]
        read = read_batches(source, plan, size, job.workers, job.reading.on_error) if plan else iter(())
        for span in own:
            parts = []
            for start, stop in span.batches(job.batch_size):
                cameras = None if source.cameras is None else source.cameras[start:stop]
                parts.append(_encoded(next(read), span.first + start, cameras, job, encoder, parser))
                done += stop - start
                progress(done, total)
            files.write(span.number, _joined(parts))
        for _ in read:  # to its end, which closes the video and the processes
            pass
    return resumed


def _encoded(
    batch: Batch, first: int, cameras: tuple[int, ...] | None, job: ExtractJob, encoder: InferenceEncoder, parser: ParserSession | None
) -> Block:
    """Vectors of the batch's good rows; ``first`` is its first item's place among all."""
    vectors = embed_resized(encoder, batch.pictures, None, job.precision, cameras)[batch.good]
    if not np.isfinite(vectors).all():
        raise WorkError("The encoder gave numbers that are not finite.", "Use --precision fp32; or the checkpoint is damaged.")
    clothes = None
    if parser is not None:
        clothes = clothes_descriptors(list(np.ascontiguousarray(batch.pictures[batch.good].transpose(0, 2, 3, 1))), parser)
    return Block(first + np.flatnonzero(batch.good), vectors, clothes)


def _joined(parts: list[Block]) -> Block:
    clothes = None if parts[0].clothes is None else np.concatenate([part.clothes for part in parts if part.clothes is not None])
    return Block(np.concatenate([part.rows for part in parts]), np.concatenate([part.vectors for part in parts]), clothes)


def _items(job: ExtractJob, files: BlockFiles, total: int) -> tuple[list[Item], list[Item]]:
    """Items that have a vector, and those that could not be read."""
    every = job.opened.items
    kept = np.zeros(len(every), np.bool_)
    for block in files.all(total):
        kept[block.rows] = True
    return [every[row] for row in np.flatnonzero(kept).tolist()], [every[row] for row in np.flatnonzero(~kept).tolist()]


def _write(
    job: ExtractJob, draft: Draft, files: BlockFiles, total: int, items: list[Item], model: VectorModel, parser: ParserSession | None
) -> None:
    blocks: Iterator[Block] = files.all(total)
    if job.per_track == "mean":
        counts, means = track_means(lambda: files.all(total), _track_numbers(job), model.measure)
        every = job.opened.items
        items, blocks = [every[row] for row in means.rows.tolist()], iter([means])
        draft.describe(notes=[f"{counted(len(counts), 'vector is', 'vectors are')} means of {int(counts.sum())} crops"])
    width = _clothes_width() if parser is not None else None
    write_vector_blocks(draft.path, ((b.vectors, b.clothes) for b in blocks), items, model, job.opened.root, width)
    if job.parquet:
        write_parquet(draft.path, items)
    draft.describe(metrics={"vectors": len(items), "width": model.width})


def _clothes_width() -> int:
    from reidclip.gallery.clothes import WIDTH

    return WIDTH


def _track_numbers(job: ExtractJob) -> np.ndarray:
    """(N,) a number per track of a source, -1 without one."""
    known: dict[tuple[int, int], int] = {}
    found = [
        known.setdefault((number, item.track), len(known)) if item.track >= 0 else -1
        for number, source in enumerate(job.opened.sources)
        for item in source.items
    ]
    return np.array(found, np.int64)


def _describe(job: ExtractJob, draft: Draft, model: VectorModel, left_out: list[Item], resumed: int, device: torch.device) -> None:
    notes = list(job.opened.notes)
    if left_out:
        keys = [item.key for item in left_out]
        notes.append(f"{counted(len(keys), 'picture', 'pictures')} could not be read and left out; {which(keys)}")
        job.say(f"note: {notes[-1]} ({LEFT_OUT_FILE} names all)")
    dataset = job.opened.dataset
    draft.describe(
        config={**job.plan(), "model": model.to_json()},
        method=job.checkpoint.manifest.method if job.checkpoint else "zero-shot",
        plugin_version=job.checkpoint.manifest.plugin_version if job.checkpoint else None,
        dataset=None if dataset is None else DatasetRef.of(dataset),
        inputs=[InputRef.of(job.checkpoint, role="checkpoint")] if job.checkpoint else [],
        metrics={"left_out": len(left_out), "resumed": resumed},
        notes=notes,
        device=device,
    )


def _resume_key(job: ExtractJob, model: VectorModel, parser: ParserSession | None) -> str:
    """Digest of what blocks depend on: the model, the items and their files, and how they are computed."""
    facts: dict[str, Any] = {
        "model": model.digest,
        "parser": None if parser is None else [parser.name, parser.version],
        "batch_size": job.batch_size,
        "precision": job.precision,
        "device": pick_device(job.device).type,
        "versions": [torch.__version__, pillow],
        "on_error": job.reading.on_error,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    seen: set[str] = set()
    for source in job.opened.sources:
        for item in source.items:
            digest.update(repr(dataclasses.astuple(item)).encode("utf-8", "surrogateescape"))
            if item.path not in seen:
                seen.add(item.path)
                digest.update(_stamp(source.root / item.path))
    return digest.hexdigest()[:16]


def _stamp(path: Any) -> bytes:
    try:
        stat = path.stat()
    except OSError:
        return b"gone"  # reading it will say so
    return f"{stat.st_size} {stat.st_mtime_ns}\n".encode()
