"""The parser plugin `schp`: human parsing with the 20 labels of LIP.

Reference: P. Li, Y. Xu, Y. Wei, Y. Yang, "Self-Correction for Human Parsing", TPAMI 2020 (arXiv 1910.09777).
This version bundles `schp-tiny`, a small network of this project's own with the same labels; its model card is
``weights/schp-tiny.json``. Read `parser.py`, then `session.py`, then `tiny_network.py`.
"""

from reidclip_schp.parser import PARSER

__all__ = ["PARSER"]
