"""The grammar of names, versions and references: ``[kind/]name[@v3]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reidclip.errors import UserError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_VERSION_FOLDER = re.compile(r"v([0-9]{4,})(?:\.removed)?")
_REFERENCE = re.compile(r"(?:(?P<kind>[^/@]+)/)?(?P<name>[^/@]+)(?:@v?(?P<version>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference; ``kind`` and ``version`` are None where the text does not say them."""

    kind: str | None
    name: str
    version: int | None


def check_name(name: str, what: str = "artifact name") -> str:
    """Return the name unchanged.

    Raises:
        UserError: it is empty, too long, or holds anything but ASCII letters, digits, ``.``, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' cannot be an {what}: it takes up to 100 letters, digits, '.', '_' and '-', and starts with a letter, digit or '_'.",
            f"Use for example '{safe_name(name)}'.",
        )
    return name


def safe_name(text: str) -> str:
    """The nearest valid name: other characters become ``-`` (a data set's folder may be called anything)."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:100] or "unnamed"


def parse_reference(text: str) -> Reference | None:
    """``"ccaf-prcc@v3"``, ``"prompts/ccaf-prcc"`` -> `Reference`; None when the text is no reference (it may be a path)."""
    match = _REFERENCE.fullmatch(text.strip())
    if match is None or not _NAME.fullmatch(match["name"]) or (match["kind"] and not _NAME.fullmatch(match["kind"])):
        return None
    return Reference(match["kind"], match["name"], int(match["version"]) if match["version"] else None)


def version_folder(version: int) -> str:
    """3 -> ``"v0003"``; four digits sort well, more are allowed."""
    return f"v{version:04d}"


def version_of(entry: str) -> int | None:
    """``"v0003"`` and the tombstone ``"v0003.removed"`` -> 3; None for any other entry."""
    match = _VERSION_FOLDER.fullmatch(entry)
    return int(match[1]) if match else None
