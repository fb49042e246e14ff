"""Trees that rendered data sets are written in, one file each; ``LAYOUTS`` is the table of them."""

from __future__ import annotations

from reidclip.synth.layouts.base import Plan, Shot, SynthLayout
from reidclip.synth.layouts.pairs import PairsLayout
from reidclip.synth.layouts.prcc import PrccLayout

LAYOUTS: dict[str, SynthLayout] = {layout.name: layout for layout in (PrccLayout(), PairsLayout())}

__all__ = ["LAYOUTS", "Plan", "Shot", "SynthLayout"]
