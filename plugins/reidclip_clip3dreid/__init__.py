"""CLIP3DReID: what a body looks like in words and in shape. Read PAPER.md, then equations.py, then method.py."""

from __future__ import annotations

from pathlib import Path

from reidclip.lazy_method import LazyMethod
from reidclip_clip3dreid.settings import Clip3dDistill, needs, without_effect

METHOD = LazyMethod(
    name="clip3dreid",
    title="CLIP3DReID: Distilling CLIP with Dual Guidance for Learning Discriminative Human Body Shape Representation (CVPR 2024)",
    version="1",
    implementation="reidclip_clip3dreid.method",
    folder=Path(__file__).parent,
    settings={"distill": Clip3dDistill},
    idle=without_effect,
    distils=needs,
)
