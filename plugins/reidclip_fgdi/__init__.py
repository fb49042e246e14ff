"""CILP-FGDI: generalisable re-identification with domain-invariant prompts. Read PAPER.md, then equations.py, then method.py."""

from __future__ import annotations

from pathlib import Path

from reidclip.lazy_method import LazyMethod
from reidclip_fgdi.settings import FgdiFinetune, FgdiPrompts, without_effect

METHOD = LazyMethod(
    name="fgdi",
    title="CILP-FGDI: Exploiting Vision-Language Model for Generalizable Person Re-Identification (IEEE TIFS 2025)",
    version="1",
    implementation="reidclip_fgdi.method",
    folder=Path(__file__).parent,
    settings={"prompt-learn": FgdiPrompts, "finetune": FgdiFinetune},
    prompts=lambda settings: settings.reads_prompts,
    idle=without_effect,
)
