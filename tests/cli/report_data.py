"""A small data set whose names are as bad as names can be, and two evaluations of it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.fakes import draw_person, write_tiny_clip

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",  # its slashes make folders
    "\"onload='alert(3)' x=\"",
    "ünï-çødé ☃ \u202eright to left",
    "&lt;b&gt; &amp; {{script}} ${x}",
    "long" * 50,
)
PEOPLE, OUTFITS, PICTURES = 6, 2, 2


def write_folder(root: Path) -> Path:
    """Six people in two outfits each: two query pictures of the first outfit, two gallery pictures of either, on two cameras."""
    rows = []
    for pid in range(PEOPLE):
        for outfit in range(OUTFITS):
            for number in range(PICTURES):
                for split, camera in (("query", 0), ("gallery", 1)):
                    if split == "query" and outfit:
                        continue
                    path = f"{split}/{HOSTILE[pid]}-{outfit}{number}.png"
                    picture, _ = draw_person(pid, outfit, camera, number)
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(root / path)
                    rows.append((path, pid, camera, pid * OUTFITS + outfit, split))
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "pid", "camid", "clothes_id", "split"))
        writer.writerows(rows)
    return root


def evaluate_twice(folder: Path, run: Callable[..., object]) -> Path:
    """Evaluations "first" and "second" of it, of two random CLIPs; gives the store."""
    data = write_folder(folder / "data")
    for seed, name in enumerate(("first", "second")):
        clip = write_tiny_clip(folder / f"{name}.safetensors", seed=seed)
        words = ["evaluate", data, "--zero-shot", "--clip", clip, "--name", name, "--store", folder / "store", "--workers", 0]
        run(*words, "--device", "cpu", "--set", "resamples=50")
    return folder / "store"
