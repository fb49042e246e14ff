"""An exported encoder on the CPU against PyTorch eager, the same threads, in turns: ONNX Runtime in float32 and in 8-bit whole numbers."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.export.int8 import EXPORTER as INT8
from reidclip.export.int8 import Int8Settings
from reidclip.export.onnx_format import EXPORTER as ONNX
from reidclip.export.onnx_format import OnnxSettings
from reidclip.export.verify import cosines
from reidclip.interfaces import Exporter, ExportPlan
from tests.bench.row import Row, seconds

BATCH, THREADS = 8, 2
NETWORKS = (("ViT-B/16", "random:ViT-B-16", True), ("reidclip-tiny", "reidclip-tiny", False))  # random weights: speed is that of any


def main(quick: bool) -> list[Row]:
    """Median of the ratios of neighbouring calls, and how far the vectors are off."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        rows = [row for name, clip, held in NETWORKS[1 if quick else 0 :] for row in _of_network(name, clip, held, quick)]
    finally:
        torch.set_num_threads(before)
    return rows


def _of_network(name: str, clip: str, held: bool, quick: bool) -> list[Row]:
    loaded = load_clip(clip, image_size=(256, 128))
    encoder = InferenceEncoder(loaded.image_encoder, InferenceOptions(mean=loaded.mean, std=loaded.std)).eval()
    if loaded.image_encoder.config.is_resnet:
        encoder.to(memory_format=torch.channels_last)  # as the toolkit runs it
    pictures = torch.randn(BATCH, 3, 256, 128, generator=torch.Generator().manual_seed(0))
    kinds: tuple[tuple[str, Exporter, ExportPlan, float, float], ...] = (
        ("float32", ONNX, ExportPlan(OnnxSettings()), 1.3, 0.99999),
        ("int8", INT8, ExportPlan(Int8Settings(pictures=16), calibration=_calibration), 2.0, 0.99),
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        calls: dict[str, Callable[[], np.ndarray]] = {"torch": lambda: encoder.features(pictures).numpy()}
        for kind, exporter, plan, _, _ in kinds:
            own = Path(folder) / kind
            own.mkdir()
            session = exporter.load(exporter.export(encoder, plan, own), THREADS)
            calls[kind] = lambda session=session: session(pictures.numpy())  # type: ignore[misc]
        found = {kind: call() for kind, call in calls.items()}
        times = _in_turns(calls, 2 if quick else 9)
    for kind, _, _, target, cosine in kinds:
        ratios = [eager / other for eager, other in zip(times["torch"], times[kind], strict=True)]
        what = f"{name}, batch {BATCH}, {THREADS} threads, ONNX Runtime {kind}"
        spread = f"ratios {min(ratios):.2f} to {max(ratios):.2f}, torch {statistics.median(times['torch']):.3f} s"
        rows.append(Row(f"{what} over PyTorch eager, speed-up", statistics.median(ratios), "x", target if held else None, True, spread))
        least = float(cosines(found[kind], found["torch"]).min())
        rows.append(Row(f"{what}, least cosine to PyTorch", least, "", cosine, True, f"{least:.7f}"))
    return rows


def _in_turns(calls: dict[str, Callable[[], np.ndarray]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {kind: [] for kind in calls}
    for _ in range(rounds):  # so that what else the machine does meets all
        for kind, call in calls.items():
            times[kind].append(seconds(call))
    return times


def _calibration() -> Iterator[Tensor]:
    yield torch.randn(16, 3, 256, 128, generator=torch.Generator().manual_seed(1))
