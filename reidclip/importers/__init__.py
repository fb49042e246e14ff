"""Weights of other programs, one file per format. Reading order: `content` (file -> tensors), `recognise`, the formats, `registry`."""
