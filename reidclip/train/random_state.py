"""The random states of Python and numpy as plain values: nothing here draws from them, but a plugin may."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np


def capture() -> dict[str, Any]:
    """Both states, ready for JSON."""
    version, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)
    inner = numpy_state["state"]
    return {
        "python": [version, list(words), gauss],
        "numpy": {
            "bit_generator": numpy_state["bit_generator"],
            "key": inner["key"].tolist(),
            "pos": int(inner["pos"]),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
    }


def restore(state: Mapping[str, Any]) -> None:
    """Set both from `capture`'s values.

    Raises:
        KeyError, TypeError, ValueError: they are not such values.
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    told = state["numpy"]
    inner = {"key": np.array(told["key"], np.uint32), "pos": told["pos"]}
    np.random.set_state({**{k: told[k] for k in ("bit_generator", "has_gauss", "gauss")}, "state": inner})
