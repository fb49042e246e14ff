"""Which of these pictures look most like the same person? Needs numpy, onnxruntime and Pillow, nothing else.

python embed.py EXPORT_FOLDER PICTURE PICTURE ...
"""

import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def read(path: str, told: dict) -> np.ndarray:
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    if not told["resize_inside"]:
        picture = picture.resize((told["width"], told["height"]), Image.Resampling[told["pillow_filter"].upper()])
    pixels = np.asarray(picture)[None]  # (1, H, W, 3) uint8
    if told["inside"]:
        return pixels
    x = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
    if told["normalisation"] == "per picture":
        return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + np.float32(1e-5))
    mean, std = (np.array(told[key], np.float32).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    return (x - mean) / std


folder, pictures = Path(sys.argv[1]), sys.argv[2:]
about = json.loads((folder / "export.json").read_text())
session = onnxruntime.InferenceSession(str(folder / about["file"]), providers=["CPUExecutionProvider"])
vectors = np.concatenate([session.run(["vectors"], {"pictures": read(path, about["preprocessing"])})[0] for path in pictures])
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
pairs = [(float(vectors[a] @ vectors[b]), pictures[a], pictures[b]) for a, b in combinations(range(len(pictures)), 2)]
for cosine, one, other in sorted(pairs, reverse=True)[:10]:
    print(f"{cosine:.4f}  {one}  {other}")
