"""Turns settings and metrics into plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from datetime import date
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from reidclip.artifacts.manifest import printable


def plain(value: Any) -> Any:
    """Dictionaries, lists, text, numbers, booleans and None, nothing else; non-finite numbers become None (JSON has none).

    Raises:
        TypeError: a value that has no plain form, such as an array with more than one element.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, (str, PurePath)):
        return printable(str(value))
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, Mapping):
        return {_key(k): plain(v) for k, v in value.items()}
    if isinstance(value, Set):
        return sorted((plain(v) for v in value), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(v) for v in value]
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "item"):  # numpy and torch scalars, without importing either
        try:
            return plain(value.item())
        except (ValueError, RuntimeError) as error:
            raise TypeError(f"{type(value).__name__} with more than one element cannot be written to a manifest") from error
    raise TypeError(f"{type(value).__name__} cannot be written to a manifest: {value!r}")


def _key(key: Any) -> str:
    return printable(str(key.value if isinstance(key, Enum) else key))
