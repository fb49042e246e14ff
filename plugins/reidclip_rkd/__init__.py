"""Feature and relational distillation of a fine-tuned encoder. Read PAPER.md, then equations.py, then method.py."""
