"""The model card beside the weights."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from safetensors import safe_open

LIMITS = (
    "Trained on rendered people alone. No labelled real pictures were used, so its quality on real ones is known by eye only: on "
    "20 real pedestrian crops of 128 x 64 pixels 15 masks of clothes look right. On three, bare thighs below a short dress or shorts are "
    "taken for trousers; a small dark picture has a hole in its shirt, and a top behind a handlebar has gaps. Lesser faults: rims of "
    "sleeves under the straps of a backpack, shoes and ankles that are taken for socks.",
    "Edges on real crops are ragged by one or two pixels; mask setting dilation 1 or 2 hides the rim of clothes that stays visible.",
    "Which garment it is, is less sure than that it is one: a shirt and shorts of similar colours become a dress or a jumpsuit, "
    "tops become coats. That does not matter for masks of clothes.",
    "Weakest on rendered people: gloves (IoU 0.53), then glasses, jumpsuits, socks and scarves (0.64 to 0.73). On randomised scenes "
    "gloves are seldom found.",
    "One person per picture, upright and mostly visible, as a detector crops pedestrians.",
)


def write_card(weights: Path, data: dict[str, Any], training: dict[str, Any], measured: dict[str, Any]) -> None:
    """Write ``schp-tiny.json`` beside the weights."""
    with safe_open(str(weights), framework="pt") as file:
        height, width = json.loads(file.metadata()["input"])
        parameters = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118 (not a mapping)
    card = {
        "name": "schp-tiny",
        "what": "A small human-parsing network of this project with the 20 labels of LIP. It is not SCHP: it is far less accurate.",
        "architecture": "encoder-decoder, plugins/reidclip_schp/tiny_network.py; stored in float16 without batch normalisation",
        "parameters": parameters,
        "bytes": weights.stat().st_size,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input": f"RGB letterboxed to {height} x {width} (height x width), (value / 255 - 0.5) / 0.25",
        "data": {"source": "rendered people alone (reidclip synth --layout pairs); no real picture was used", **data},
        "training": {"recipe": "examples/train_schp_tiny", **training, "date": datetime.now(timezone.utc).date().isoformat()},
        "measured": measured,
        "limits": list(LIMITS),
        "licence": "Apache-2.0",
    }
    weights.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
