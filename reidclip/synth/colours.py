"""Named colours as RGB in [0, 1]; the names are the words that captions use."""

from __future__ import annotations

import numpy as np

from reidclip.synth.mesh import FloatArray


def rgb(code: str) -> FloatArray:
    """``"3f74b5"`` -> float32 (3,)."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


CLOTH = {
    "black": "1c1c20", "white": "f0f0ec", "grey": "8a8d92", "dark grey": "4a4c52", "navy": "232f55", "blue": "2f62b0",
    "light blue": "8db8e0", "dark red": "7a1a2a", "red": "cc2f30", "pink": "e58fae", "dark green": "1f5036",
    "green": "4f9a4a", "yellow": "e6c233", "orange": "dc7428", "purple": "6a4090", "beige": "cdbb98", "brown": "6a4a32",
    "teal": "2a7f86", "khaki": "8f8458", "cream": "e6dec6",
}  # fmt: skip
NEUTRAL = ("black", "white", "grey", "dark grey", "navy", "beige", "brown", "khaki", "cream")

HAIR = {
    "black": "161314", "dark brown": "33211a", "brown": "5a3a22", "light brown": "8a6238", "blond": "d6b264",
    "red": "a2431c", "grey": "94928f", "white": "dcdad4", "pink": "d2628e", "blue": "2f5ea8",
}  # fmt: skip
SKIN = ("f4d8c6", "ecc6aa", "dfb08e", "c99270", "a97350", "845434", "603b24", "432a1b")
SKIN_WORDS = ("very light", "light", "light", "medium", "tan", "brown", "dark", "dark")
IRIS = {"dark brown": "2c1a10", "brown": "5b3a1e", "blue": "4a72a0", "green": "5a7a4a"}


def skin_rgb(tone: float) -> FloatArray:
    """Skin colour for a tone in [0, 7], light to dark."""
    low = min(int(tone), len(SKIN) - 2)
    part = np.float32(tone - low)
    return np.asarray(rgb(SKIN[low]) * (1 - part) + rgb(SKIN[low + 1]) * part, np.float32)
