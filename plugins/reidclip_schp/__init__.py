"""The parser plugin `schp`: human parsing with the labels of LIP, ATR or Pascal-Person-Part.

Reference: P. Li, Y. Xu, Y. Wei, Y. Yang, "Self-Correction for Human Parsing", TPAMI 2020 (arXiv 1910.09777); sources and what was
rebuilt: ``PAPER.md``. Read `parser.py`, then `session.py`, `crop.py` and `network.py`. Without a checkpoint the parser runs `schp-tiny`,
a small network of this project's own with LIP's labels (files ``tiny_*``); its model card is ``weights/schp-tiny.json``.
"""

from reidclip_schp.parser import PARSER

__all__ = ["PARSER"]
