"""CLIP3DReID: what a body looks like in words and in shape. Read PAPER.md, then equations.py, then method.py."""
