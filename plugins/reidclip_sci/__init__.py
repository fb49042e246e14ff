"""SCI: Semantic Contextual Integration. Read PAPER.md, then equations.py, then method.py."""

from __future__ import annotations

from pathlib import Path

from reidclip.interfaces import INHERITED
from reidclip.lazy_method import LazyMethod
from reidclip_sci.settings import SciFinetune, SciPrompts, finetune_reads_prompts, without_effect

METHOD = LazyMethod(
    name="sci",
    title="SCI: See What You Seek: Semantic Contextual Integration for Cloth-Changing Person Re-Identification",
    version="1",
    implementation="reidclip_sci.method",
    folder=Path(__file__).parent,
    settings={"prompt-learn": SciPrompts, "finetune": SciFinetune},
    prompts=finetune_reads_prompts,
    inherits=(*INHERITED, "sse", "clothes_from"),
    idle=without_effect,
)
