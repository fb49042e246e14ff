"""Feature and relational distillation of a fine-tuned encoder. Read PAPER.md, then equations.py, then method.py."""

from __future__ import annotations

from pathlib import Path

from reidclip.interfaces import DistillNeeds
from reidclip.lazy_method import LazyMethod
from reidclip_rkd.settings import RkdDistill, without_effect

METHOD = LazyMethod(
    name="rkd",
    title="RKD: a fine-tuned encoder's features and relations in a small student (after Park et al., CVPR 2019)",
    version="1",
    implementation="reidclip_rkd.method",
    folder=Path(__file__).parent,
    settings={"distill": RkdDistill},
    idle=without_effect,
    distils=lambda settings: DistillNeeds("checkpoint"),
)
