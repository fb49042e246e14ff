"""CLIP-ReID (Li, Sun, Li; AAAI 2023) and its baseline. Read PAPER.md, then equations.py, then method.py."""

from __future__ import annotations

from pathlib import Path

from reidclip.lazy_method import LazyMethod
from reidclip_clipreid.settings import BaselineFinetune, ClipReidFinetune, ClipReidPrompts

CLIPREID = LazyMethod(
    name="clipreid",
    title="CLIP-ReID: Exploiting Vision-Language Model for Image Re-Identification without Concrete Text Labels (AAAI 2023)",
    version="1",
    implementation="reidclip_clipreid.method",
    folder=Path(__file__).parent,
    settings={"prompt-learn": ClipReidPrompts, "finetune": ClipReidFinetune},
    prompts=lambda settings: settings.i2tce_weight > 0,
)

BASELINE = LazyMethod(
    name="baseline",
    title="Baseline B of CLIP-ReID and its descendants: CLIP's image encoder fine-tuned without text (AAAI 2023)",
    version="1",
    implementation="reidclip_clipreid.baseline",
    folder=Path(__file__).parent,
    settings={"finetune": BaselineFinetune},
)
