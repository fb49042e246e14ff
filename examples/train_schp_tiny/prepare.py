"""Decodes the rendered pictures once and makes random scenes of them, so that training does neither. See README.md for the command.

A run that is stopped goes on where it was when the same command is given again; what is in a scene depends on the seed and the scene's
number alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from pairs import Bank, fill, letterboxed, rendered_pair, rows
from scenes import random_scene

INPUT = (256, 128)  # height, width in pixels


def main() -> None:
    """Read the command line, fill the files."""
    options = _options()
    cv2.setNumThreads(1)
    table, stem = rows(options.data)[: options.limit], options.work / "rendered"
    rendered = Bank.create(stem, len(table), INPUT)
    fill(stem, rendered, lambda index: letterboxed(rendered_pair(options.data, table[index]), INPUT))
    stem = options.work / "scenes"
    scenes = Bank.create(stem, options.scenes, INPUT)
    fill(stem, scenes, lambda index: random_scene(np.random.default_rng([options.seed, 0, index]), rendered, index % len(table), INPUT))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder written by `reidclip synth OUT --layout pairs`")
    parser.add_argument("work", type=Path, help="folder for the decoded pictures and the scenes, 130 kB each")
    parser.add_argument("--scenes", type=int, default=24000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use only so many pictures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
