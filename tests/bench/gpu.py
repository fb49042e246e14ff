"""The same steps on a CUDA machine: ``python tests/bench/gpu.py [--json]``; not part of ``python -m tests.bench``.

For ViT-B/16 and RN50 at 256x128, batch 64: pictures per second, share of the device's matrix rate and peak memory of a CLIP-ReID
fine-tuning step in fp32, bf16 and bf16 with torch.compile. The matrix rate is measured in the same run, as the best of large products
in the same precision; a step's own products are counted by torch's flop counter.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs as a file, too

from reidclip.clip.load import load_clip
from reidclip.train.loop import LoopOptions, step
from reidclip.train.optim import build_adam
from reidclip.train.precision import check_precision
from reidclip.train.prepare import prepare
from tests.bench.finetune import batch_of, stage_of

IDENTITIES, PICTURES, HEIGHT, WIDTH = 16, 4, 256, 128
WARM_STEPS, STEPS = 5, 30


@dataclass(frozen=True)
class Figure:
    """One line of the table. ``share`` is of the matrix rate measured in that precision."""

    tower: str
    precision: str
    compiled: bool
    pictures_per_second: float
    share: float
    peak_gib: float


def matrix_rate(dtype: torch.dtype, device: torch.device, size: int = 8192) -> float:
    """Floating-point operations per second of a large matrix product, the best of ten."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def measure(tower: str, precision: str, compiled: bool, device: torch.device) -> Figure:
    """One configuration."""
    check_precision(precision, device)
    torch.cuda.empty_cache()
    clip = load_clip(f"random:{tower}", image_size=(HEIGHT, WIDTH), stride=16, device=device)
    if clip.image_encoder.config.is_resnet:
        clip.image_encoder.to(memory_format=torch.channels_last)
    stage = stage_of("clipreid", clip, device, precision)
    batch = {name: value.to(device) for name, value in batch_of(IDENTITIES, PICTURES, HEIGHT, WIDTH).items()}
    updates = [(update, build_adam(update.groups)) for update in stage.updates]
    options = LoopOptions(device, precision)
    with FlopCounterMode(display=False) as counter:
        step(stage, updates, batch, options)
    flops = counter.get_total_flops()
    prepare([stage], compiled=compiled)
    for _ in range(WARM_STEPS):
        step(stage, updates, batch, options)
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(STEPS):
        step(stage, updates, batch, options)
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / STEPS
    rate = matrix_rate(torch.bfloat16 if precision == "bf16" else torch.float32, device)
    peak = torch.cuda.max_memory_allocated() / 2**30
    return Figure(tower, precision, compiled, IDENTITIES * PICTURES / seconds, flops / seconds / rate, peak)


def main() -> int:
    """Measure all configurations and print them."""
    parser = argparse.ArgumentParser(description="Fine-tuning steps on a CUDA device.")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("This machine has no CUDA device that torch can use.", file=sys.stderr)
        return 1
    device = torch.device("cuda")
    figures = [
        measure(tower, precision, compiled, device)
        for tower in ("ViT-B-16", "RN50")
        for precision, compiled in (("fp32", False), ("bf16", False), ("bf16", True))
    ]
    name = torch.cuda.get_device_name()
    if arguments.json:
        print(json.dumps({"device": name, "torch": torch.__version__, "figures": [asdict(f) for f in figures]}))
        return 0
    print(f"{name}, torch {torch.__version__}, {HEIGHT}x{WIDTH}, batch {IDENTITIES * PICTURES}\n")
    print("| tower | precision | pictures/s | share of matrix rate | peak memory, GiB |\n|---|---|---|---|---|")
    for f in figures:
        precision = f.precision + (" + compile" if f.compiled else "")
        print(f"| {f.tower} | {precision} | {f.pictures_per_second:.0f} | {f.share:.0%} | {f.peak_gib:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
