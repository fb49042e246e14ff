"""What this machine computes with: processor, accelerators, video codecs, several processes, disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reidclip.stages.doctor_finding import Finding, State, size

_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # the last is Arm's
_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp")
_VECTORS = ("avx2", "avx512f", "asimd")
_LEAST_FREE = 2e9  # bytes: a ViT-B/16 checkpoint with its training's state is 1.4 GB


def devices() -> Iterator[Finding]:
    """The processor, and the accelerators that torch can use."""
    yield _processor()
    try:
        import torch
    except Exception as error:  # a broken installation may raise anything: OSError of a library, RuntimeError
        told = f"torch cannot be imported: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        yield Finding("devices", "torch", "broken", told, "Install it anew: pip install --force-reinstall torch")
        return
    threads = torch.get_num_threads()
    yield Finding("devices", "torch", "ok", f"{torch.__version__}, {threads} threads", facts={"threads": threads})
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            told = f"{about.name}, {size(about.total_memory)}, compute capability {about.major}.{about.minor}"
            facts = {"name": about.name, "memory": about.total_memory, "bf16": torch.cuda.is_bf16_supported()}
            yield Finding("devices", f"cuda:{number}", "ok", told, facts=facts)
    else:
        built = f"torch is built for CUDA {torch.version.cuda}, and finds no device" if torch.version.cuda else "torch is built without it"
        yield Finding("devices", "cuda", "absent", built)
    mps = torch.backends.mps.is_available()
    if mps or platform.system() == "Darwin":
        yield Finding("devices", "mps", "ok" if mps else "absent", "Apple's GPU" if mps else "not available to torch")


def instruction_sets(told: str) -> dict[str, list[str]]:
    """Of what /proc/cpuinfo tells, the instructions that matter: by what they are for."""
    lines = (line.partition(":") for line in told.splitlines())
    flags = next((set(value.split()) for key, _, value in lines if key.strip() in ("flags", "Features")), set())
    groups = {"vectors": _VECTORS, "bf16": _BF16, "int8": _INT8}
    return {use: [name for name in names if name in flags] for use, names in groups.items()}


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Finding("devices", "cpu", "ok", f"{platform.machine()}, {cores} cores", facts={"cores": cores})
    found = instruction_sets(info)
    name = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), platform.machine())
    bf16 = f"bf16 ({', '.join(found['bf16'])}): --precision bf16 is fast" if found["bf16"] else "no bf16: --precision bf16 is slow"
    int8 = f"int8 ({', '.join(found['int8'])})" if found["int8"] else "no int8 instructions: exports to int8 gain less"
    told = f"{name}, {cores} cores; {', '.join(found['vectors']) or 'no wide vectors'}; {bf16}; {int8}"
    return Finding("devices", "cpu", "ok", told, facts={"name": name, "cores": cores, **found})


def video() -> Iterator[Finding]:
    """Whether OpenCV decodes videos: one is written and read again."""
    try:
        import cv2
    except Exception as error:
        told = f"OpenCV cannot be imported: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        yield Finding("video", "opencv", "broken", told, "On servers without a display: pip install opencv-python-headless")
        return
    backends = [cv2.videoio_registry.getBackendName(b) for b in cv2.videoio_registry.getStreamBackends()]
    told = f"{cv2.__version__}, reads by {', '.join(backends) or 'nothing'}"
    state: State = "ok" if "FFMPEG" in backends else "warning"
    remedy = "" if state == "ok" else "The wheel on PyPI has FFMPEG, which reads mp4, mkv and avi: pip install opencv-python"
    yield Finding("video", "opencv", state, told, remedy, {"backends": backends})
    formats = {"mp4 (MPEG-4)": ("mp4v", "mp4"), "avi (Motion JPEG)": ("MJPG", "avi")}
    works = [name for name, (codec, suffix) in formats.items() if _round_trip(codec, suffix)]
    lost = [name for name in formats if name not in works]
    told = f"written and read again: {', '.join(works) or 'nothing'}" + (f"; not: {', '.join(lost)}" if lost else "")
    yield Finding("video", "codecs", "warning" if lost else "ok", told, facts={"works": works, "fails": lost})


def _round_trip(codec: str, suffix: str) -> bool:
    import cv2
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"two.{suffix}")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*codec), 10, (64, 64))
        for shade in (40, 200):
            writer.write(np.full((64, 64, 3), shade, np.uint8))
        writer.release()
        reader = cv2.VideoCapture(path)
        frames = [frame for there, frame in (reader.read(), reader.read()) if there]
        reader.release()
    return len(frames) == 2 and abs(int(frames[1][32, 32, 0]) - 200) < 20


def processes() -> Iterator[Finding]:
    """Whether several processes can share the work, and how they are started."""
    try:
        import torch.distributed as dist
    except Exception:  # told by `devices`
        return
    backends = [name for name, there in _backends(dist) if there]
    state: State = "ok" if "gloo" in backends else "warning"
    yield Finding(
        "processes", "torch.distributed", state, ", ".join(backends) or "not in this build of torch", facts={"backends": backends}
    )
    beside = Path(sys.executable).parent / ("torchrun.exe" if os.name == "nt" else "torchrun")
    found = str(beside) if beside.is_file() else shutil.which("torchrun")
    told = "torchrun --nproc-per-node N -m reidclip COMMAND ..." if found else "no program torchrun: python -m torch.distributed.run"
    yield Finding("processes", "torchrun", "ok" if found else "absent", told, facts={"path": found})


def _backends(dist: object) -> Iterator[tuple[str, bool]]:
    if dist.is_available():  # type: ignore[attr-defined]  # a module, whose functions depend on the build
        yield "gloo", bool(dist.is_gloo_available())  # type: ignore[attr-defined]
        yield "nccl", bool(dist.is_nccl_available())  # type: ignore[attr-defined]


def disk(store: Path) -> Iterator[Finding]:
    """Free space where artifacts and temporary files go."""
    for name, folder in (("store", store), ("temporary files", Path(tempfile.gettempdir()))):
        place = next((path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir()), Path.cwd())
        usage = shutil.disk_usage(place)
        low = usage.free < _LEAST_FREE
        told = f"{size(usage.free)} free of {size(usage.total)} at {place}"
        facts = {"path": str(place), "free": usage.free, "total": usage.total}
        yield Finding("disk", name, "warning" if low else "ok", told, "Free some space, or name another disk." if low else "", facts)
