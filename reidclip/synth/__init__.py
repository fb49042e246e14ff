"""Rendered pedestrians: people whose identity does not depend on their clothes, with exact label maps.

Reading order: `identity` and `outfit` (what is drawn at random), `body` (the baked body model), `figure` (a dressed
person in rest pose), `pose`, `camera`, `raster`, `shading`, `render` (one picture), `writer` and `layouts` (files), `styles`
(what a whole set has in common) and `benchmarks` (the sets that numbers are published on).
"""
