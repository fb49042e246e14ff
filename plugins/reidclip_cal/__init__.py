"""CAL: clothes-based adversarial learning. Read PAPER.md, then equations.py, then method.py."""

from __future__ import annotations

from pathlib import Path

from reidclip.lazy_method import LazyMethod
from reidclip_cal.settings import CalFinetune, without_effect

METHOD = LazyMethod(
    name="cal",
    title="CAL: Clothes-Changing Person Re-identification with RGB Modality Only (CVPR 2022)",
    version="1",
    implementation="reidclip_cal.method",
    folder=Path(__file__).parent,
    settings={"finetune": CalFinetune},
    idle=without_effect,
)
