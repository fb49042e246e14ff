"""Evaluations as one self-contained page."""
