"""Pictures that say themselves what they show: the red channel of a pixel is ten times its label, and the fake parser reads it off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from reidclip.artifacts.store import Store
from reidclip.cli import mask as mask_command
from reidclip.cli import parse as parse_command
from reidclip.data.lip import LIP_LABELS
from reidclip.errors import ReidclipError
from reidclip.settings import Settings

CLOTHES = {3, 5, 6, 7, 8, 9, 10, 11, 12}

app = typer.Typer()
app.command("parse")(parse_command.parse)
app.command("mask")(mask_command.mask)


class RedReader:
    """A parser that reads labels off the red channel, and stops where it is told to."""

    name, version, labels = "red", "1", LIP_LABELS

    def __init__(self, stop_after: int | None = None) -> None:
        self.seen = 0
        self.stop_after = stop_after

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.seen += len(images)
        if self.stop_after is not None and self.seen > self.stop_after:
            raise KeyboardInterrupt
        return [(image[:, :, 0] // 10).astype(np.uint8) for image in images]


class OneByOne(Settings):
    batch_size: int = 1


def labels_of(index: int, shape: tuple[int, int] = (12, 8)) -> np.ndarray:
    """A different label map for each index; upper-clothes and pants in the middle."""
    labels = np.zeros(shape, np.uint8)
    labels[0] = index % 20
    labels[2:6, 2:6], labels[6:10, 2:6], labels[1, 3:5] = 5, 9, 13
    return labels


def shape_of(index: int) -> tuple[int, int]:
    """Height and width of picture ``index``."""
    return (12, 8) if index % 2 else (14, 9)


def path_of(index: int) -> str:
    """Relative path of picture ``index``, with the suffix of pictures and label maps alike."""
    return f"{'a' if index < 4 else 'b/c'}/{index}.png"


def write_red(path: Path, labels: np.ndarray, other: int = 0) -> None:
    """One picture of these labels; ``other`` goes into the green channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([labels * 10, labels * 0 + other, labels * 0], axis=2).astype(np.uint8)).save(path)


def call(store: Store, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments] + ["--store", str(store.root), "--workers", "0", "--device", "cpu"])


def call_json(store: Store, *arguments: object) -> Any:
    result = call(store, *arguments, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def refusal(result: Result) -> ReidclipError:
    """The error of a call that failed as it should: with a remedy."""
    assert isinstance(result.exception, ReidclipError), result.exception or result.output
    assert result.exception.remedy
    return result.exception


def visible(store: Store) -> list[str]:
    return [f"{a.kind}/{a.ref}" for a in store.list()]
