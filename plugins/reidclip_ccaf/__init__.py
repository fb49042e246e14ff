"""CCAF: CLIP-Driven Cloth-Agnostic Feature Learning. Read PAPER.md, then equations.py, then method.py."""

from __future__ import annotations

from pathlib import Path

from reidclip.lazy_method import LazyMethod
from reidclip_ccaf.settings import CcafFinetune, CcafPrompts, finetune_reads_masks, finetune_reads_prompts

METHOD = LazyMethod(
    name="ccaf",
    title="CCAF: CLIP-Driven Cloth-Agnostic Feature Learning for Cloth-Changing Person Re-Identification",
    version="1",
    implementation="reidclip_ccaf.method",
    folder=Path(__file__).parent,
    settings={"prompt-learn": CcafPrompts, "finetune": CcafFinetune},
    masks=lambda stage, settings: stage == "prompt-learn" or finetune_reads_masks(settings),
    prompts=finetune_reads_prompts,
)
