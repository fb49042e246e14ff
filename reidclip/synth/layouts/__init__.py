"""Trees that rendered data sets are written in, one file each; ``LAYOUTS`` is the table of them."""

from __future__ import annotations

from reidclip.synth.layouts.base import NO_LIMIT, Plan, Shot, SynthLayout
from reidclip.synth.layouts.ltcc import LtccLayout
from reidclip.synth.layouts.market1501 import MarketLayout
from reidclip.synth.layouts.pairs import PairsLayout
from reidclip.synth.layouts.prcc import PrccLayout
from reidclip.synth.layouts.vcclothes import VcClothesLayout

LAYOUTS: dict[str, SynthLayout] = {
    layout.name: layout for layout in (PrccLayout(), LtccLayout(), VcClothesLayout(), MarketLayout(), PairsLayout())
}

__all__ = ["LAYOUTS", "NO_LIMIT", "Plan", "Shot", "SynthLayout"]
