"""What many rows start from, made once by the commands themselves and copied for each row."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from reidclip.data.files import mirrored
from reidclip.data.images import write_indexed_png
from reidclip.data.lip import LIP_PALETTE
from reidclip.stages.synth_meshes import synth_meshes
from tests.fakes import SIZE, write_prcc, write_tiny_clip
from tests.plugins.schp_fixtures import tiny_weights

SMALL = ("--set", "height=32", "--set", "width=16", "--set", "epochs=1")
ALONE = ("--recipe", "tiny", "--student", "random:timm:test_vit", *(f"--set=lambda_{name}=0" for name in ("ot", "global", "3d")))
BATCH = ("--set", "identities=2", "--set", "images_per_identity=2", "--set", "pad=2")


class Kitchen:
    """A data set, a CLIP, a parser, and the artifacts that the commands make of them.

    Args:
        root: a folder of its own.
        run: runs a command line in ``root``; raises when it fails.
    """

    def __init__(self, root: Path, run: Callable[..., None]) -> None:
        self.root = root
        self.run = run
        self.store = root / "artifacts"

    @cached_property
    def prcc(self) -> Path:
        """Four training identities on cameras A and C, two test identities."""
        return write_prcc(self.root / "data")

    @cached_property
    def clip(self) -> Path:
        """A random CLIP of width 16, for pictures of 32 x 16."""
        return write_tiny_clip(self.root / "clip.safetensors")

    @cached_property
    def parser(self) -> Path:
        """Weights of a small random parser."""
        return tiny_weights(self.root).rename(self.root / "parser.safetensors")

    @cached_property
    def maps(self) -> Path:
        """A label map for each picture of `prcc`: upper-clothes on the trunk."""
        return write_maps(self.prcc, self.root / "maps")

    @cached_property
    def masks(self) -> str:
        """Masks made of `maps`."""
        self.run("mask", str(self.prcc), "--parsing", str(self.maps), "--name", "m")
        return "masks"

    @cached_property
    def parsing(self) -> str:
        """Label maps by the small parser."""
        self.run("parse", str(self.prcc), "--weights", str(self.parser), "--name", "p")
        return "parsing"

    @cached_property
    def prompts(self) -> str:
        """Prompts of the method clipreid."""
        self.run("prompt-learn", str(self.prcc), "--method", "clipreid", "--clip", str(self.clip), "--name", "t", *SMALL)
        return "prompts"

    @cached_property
    def meshes(self) -> Path:
        """Renders of four bodies, two of them for training."""
        return synth_meshes(self.root / "meshes", ids=4, test_ids=2, poses=1, size=(32, 16), workers=1).out

    @cached_property
    def student(self) -> str:
        """A student distilled without words and bodies, by clip3dreid."""
        self.run("distill", str(self.prcc), "--name", "s", "--teacher", str(self.clip), *ALONE, *SMALL, *BATCH)
        return "checkpoint"

    @cached_property
    def checkpoint(self) -> str:
        """An encoder fine-tuned by the baseline."""
        self.run("finetune", str(self.prcc), "--method", "baseline", "--clip", str(self.clip), "--name", "c", *SMALL, *BATCH)
        return "checkpoint"

    @cached_property
    def evaluation(self) -> str:
        """The small CLIP evaluated as it is, on `prcc`."""
        self.run("evaluate", str(self.prcc), "--zero-shot", "--clip", str(self.clip), "--name", "e")
        return "evaluation"


def write_maps(data: Path, folder: Path) -> Path:
    """Label maps of the pictures in ``data``, by relative path: upper-clothes (5) on the trunk."""
    labels = np.zeros(SIZE, np.uint8)
    labels[9:28, 5:11] = 5
    for picture in sorted(data.rglob("*.jpg")):
        path = folder / mirrored(picture.relative_to(data).as_posix())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_indexed_png(path, labels, LIP_PALETTE)
    return folder
