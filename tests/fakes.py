"""Small stand-ins: a CLIP of width 16 with random weights, and a PRCC tree of drawn people with their masks."""

from __future__ import annotations

import copy
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from reidclip.clip.load import ClipModel

REPOSITORY = Path(__file__).resolve().parents[1]

SIZE = (32, 16)  # height, width of pictures and of the encoder's input
IDENTITIES = (2, 5, 7, 11)
PICTURES_PER_CAMERA = 3

TINY_CONFIG: Mapping[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": list(SIZE), "patch_size": 8, "width": 24, "layers": 2, "head_width": 8},
    "text_cfg": {"context_length": 40, "vocab_size": 700, "width": 16, "heads": 2, "layers": 2},
}

SMALL: Mapping[str, Any] = {
    "height": SIZE[0],
    "width": SIZE[1],
    "epochs": 2,
    "batch_size": 10,
    "identities": 3,
    "images_per_identity": 2,
    "pad": 2,
    "cal_start_epoch": 0,
    "warm_epochs": 2,
    "warm_up": {"identities": 3, "images_per_identity": 2, "pad": 2},
    "domain_epochs": 2,
    "student": "random:timm:test_vit",
    "feature_width": 12,
    "head_hidden": 10,
    "mesh_images": 4,
}
"""Settings that make a training small; keys that a method does not have are left out."""


# --------------------------------------------------------------------------------------------------------------------- CLIP
def tiny_clip(seed: int = 0) -> ClipModel:
    """A random CLIP: image encoder 24 wide, text encoder 16 wide, joint space of 16; nobody else holds its parameters."""
    clip = _tiny_clip(seed)
    return replace(clip, image_encoder=copy.deepcopy(clip.image_encoder), text_encoder=copy.deepcopy(clip.text_encoder))


@lru_cache
def _tiny_clip(seed: int) -> ClipModel:
    from reidclip.clip.load import assemble
    from reidclip.clip.sources import Source

    return assemble(Source("tiny", TINY_CONFIG, seed=seed), "tiny", image_size=SIZE)


def write_tiny_clip(path: Path, seed: int = 0) -> Path:
    """The same as weights on disk (``path`` ends in .safetensors), to be given as --clip."""
    from reidclip.clip.load import save_clip

    clip = tiny_clip(seed)
    save_clip(path, clip.image_encoder, clip.text_encoder, clip.logit_scale, TINY_CONFIG, mean=clip.mean, std=clip.std)
    return path


# --------------------------------------------------------------------------------------------------------------------- data
def draw_person(pid: int, outfit: int, camera: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture uint8 (32, 16, 3) and keep mask uint8 (32, 16): head by identity, trunk by outfit, background by camera."""
    noise = np.random.default_rng([pid, outfit, camera, number])
    colours = np.random.default_rng([pid, 77]), np.random.default_rng([pid, outfit, 78]), np.random.default_rng([camera, 79])
    head, trunk, ground = (rng.integers(30, 226, 3) for rng in colours)
    picture = np.broadcast_to(ground, (*SIZE, 3)).astype(np.int64).copy()
    left = 5 + int(noise.integers(-1, 2))
    picture[2:9, left + 1 : left + 5] = head
    picture[9:28, left : left + 6] = trunk
    keep = np.ones(SIZE, np.uint8)
    keep[9:28, left : left + 6] = 0
    return np.clip(picture + noise.integers(-12, 13, picture.shape), 0, 255).astype(np.uint8), keep


def write_prcc(root: Path, masks: Path | None = None) -> Path:
    """A PRCC tree: four training identities on cameras A and C (other outfit), and two test identities; masks mirror it."""
    for pid in IDENTITIES:
        for number in range(PICTURES_PER_CAMERA):
            for camera, letter in enumerate("AC"):
                _write(root, f"rgb/train/{pid:03d}/{letter}_cropped_rgb{number + 1:03d}.jpg", (pid, camera, camera, number), masks)
    for pid in (1, 3):
        for camera, letter in enumerate("ABC"):
            for number in range(2):
                place = f"rgb/test/{letter}/{pid:03d}/cropped_rgb{number + 1:03d}.jpg"
                _write(root, place, (pid, int(letter == "C"), camera, number), masks)
    return root


def _write(root: Path, place: str, what: tuple[int, int, int, int], masks: Path | None) -> None:
    from reidclip.data.files import mirrored
    from reidclip.data.images import write_mask_png

    picture, keep = draw_person(*what)
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=95)
    if masks is not None:
        mask = masks / mirrored(place)
        mask.parent.mkdir(parents=True, exist_ok=True)
        write_mask_png(mask, keep)


# ------------------------------------------------------------------------------------------------------------- subprocesses
def environment(home: Path, *path: Path, **extra: str) -> dict[str, str]:
    """Environment of a child process: own home and store, one thread, offline, ``path`` in front of the installed packages."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "HOME": str(home),
        "REIDCLIP_STORE": str(home / "artifacts"),
        "PYTHONPATH": os.pathsep.join(str(p) for p in path),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        **extra,
    }


def hear_interrupts() -> None:
    """``preexec_fn`` of a child that is sent Ctrl-C: what a shell runs in its background ignores it, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def reidclip_command(*arguments: str) -> list[str]:
    """The command line as a child process."""
    return [sys.executable, "-m", "reidclip", *arguments]
