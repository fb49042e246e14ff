"""Peak memory of a forward: torch's own count on CUDA; on a CPU the growth of a process of its own.

Run as a program it is that process: ``python -m reidclip.profiling.memory FOLDER BATCH THREADS PRECISION`` prints bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from reidclip.clip.inference import CONFIG_FILE, InferenceEncoder
from reidclip.errors import WorkError
from reidclip.profiling.speed import inputs, prepare
from reidclip.train.precision import autocast


def peak_bytes_cuda(encoder: InferenceEncoder, batch_size: int, precision: str) -> int:
    """The most that torch had allocated on the device while a batch was run: weights, pictures and what is between."""
    device = next(encoder.parameters()).device
    images = inputs(encoder, batch_size)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    with autocast(device, precision):
        encoder.features(images)
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device))


def peak_bytes_cpu(folder: Path, batch_size: int, threads: int, precision: str) -> int:
    """By how much the peak of a fresh process's resident memory grows when it loads the encoder and runs one batch.

    What the process takes before (python, torch) is not part of it; what torch's allocator holds back is.

    Args:
        folder: where `InferenceEncoder.save` wrote.

    Raises:
        WorkError: the process failed, for want of memory for example.
    """
    words = [sys.executable, "-m", "reidclip.profiling.memory", str(folder), str(batch_size), str(threads), precision]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise WorkError(
            f"Measuring the memory of {folder} failed: {said}", "Take a smaller --batch-size, or leave it out with --no-memory."
        )
    return int(done.stdout)


def _measure(folder: Path, batch_size: int, threads: int, precision: str) -> int:
    torch.set_num_threads(threads)
    with torch.device("meta"):  # imports what the encoder is built with, which is no memory of its forward
        InferenceEncoder.from_config(json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")))
    with contextlib.suppress(OSError):  # Linux: the peak so far, of imports, is forgotten
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    encoder = prepare(InferenceEncoder.load(folder))
    with autocast(torch.device("cpu"), precision):
        encoder.features(inputs(encoder, batch_size))
    return _peak_bytes() - before


def _peak_bytes() -> int:
    """The most resident memory that this process ever had."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    if os.name != "posix":
        raise SystemExit("peak memory on a CPU can be told on Linux and macOS alone")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(_measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
