"""Versioned, immutable, verifiable results of commands; start at `reidclip.artifacts.store`."""
