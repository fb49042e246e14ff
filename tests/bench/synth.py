"""Rendering rate of one core: picture and label map at 256x128, with encoding and writing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from reidclip.stages.synth import synth
from reidclip.synth.body import body_model
from tests.bench.row import Row

TARGET = 18.0  # pairs per second per core


def main(quick: bool) -> list[Row]:
    """Every layout; ``pairs`` dresses a person anew for every picture and is the slowest, LTCC's pictures are PNGs."""
    body_model()
    rows = []
    for layout, ids, images in (("prcc", 8, 5), ("ltcc", 6, 3), ("vcclothes", 8, 3), ("market1501", 8, 2), ("pairs", 12, 10)):
        if quick:
            ids, images = 2, 1
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / layout
            wall, cpu = time.perf_counter(), time.process_time()
            summary = synth(out, layout=layout, ids=ids, images_per_camera=images)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / summary.pictures / 1024
        note = f"{summary.pictures} pictures, wall {summary.pictures / wall:.1f}/s, {size:.1f} KiB per pair"
        rows.append(Row(f"{layout}: image + label map", summary.pictures / cpu, "per core second", TARGET, note=note))
    return rows
