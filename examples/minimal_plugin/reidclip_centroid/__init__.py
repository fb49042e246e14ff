"""Facts about the method, cheap to import: torch waits in method.py until a stage is built."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from reidclip.lazy_method import LazyMethod
from reidclip.train.settings import FinetuneSettings


class CentroidFinetune(FinetuneSettings):
    """What fine-tuning takes beyond the shared settings (rates, batches, augmentation)."""

    pull_weight: float = Field(0.5, ge=0, description="Weight of the pull to the identity's centre.")
    smoothing: float = Field(0.1, ge=0, lt=1, description="Label smoothing of the cross-entropy.")


METHOD = LazyMethod(
    name="centroid",
    title="Centroid: cross-entropy and a pull to each identity's centre (an example, from no paper)",
    version="1",
    implementation="reidclip_centroid.method",
    folder=Path(__file__).parent,
    settings={"finetune": CentroidFinetune},
)
