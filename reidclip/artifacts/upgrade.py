"""Moves manifests of older schemas forward, one small named step per schema change.

A step takes the raw JSON object of schema N and returns that of schema N + 1. Steps are never edited once released: the
files on people's disks do not change, so neither may the way they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from reidclip import __version__
from reidclip.errors import UserError, WorkError

Raw = dict[str, Any]


class NewerSchemaError(UserError):
    """The manifest is whole, but of a schema that came after this toolkit."""


def m001_roles_and_platform(raw: Raw) -> Raw:
    """Schema 1 -> 2: inputs say what they were used for, the environment says which platform it was."""
    inputs = [{**entry, "role": entry.get("kind", "input")} for entry in raw.get("inputs", [])]
    return {**raw, "inputs": inputs, "environment": {**raw.get("environment", {}), "platform": "unknown"}}


def m002_sources(raw: Raw) -> Raw:
    """Schema 2 -> 3: the data tells the data sets that it was joined from; before, it was one set."""
    made = raw.get("dataset")
    return {**raw, "dataset": {**made, "sources": {}}} if made is not None else raw


STEPS: tuple[Callable[[Raw], Raw], ...] = (m001_roles_and_platform, m002_sources)
SCHEMA_VERSION = len(STEPS) + 1


def upgrade(raw: Raw, where: str) -> Raw:
    """Bring a manifest to `SCHEMA_VERSION`; each missing step runs once, in order.

    Args:
        raw: the parsed JSON object; not changed.
        where: the file, for errors.

    Raises:
        WorkError: it has no usable ``schema_version``.
        NewerSchemaError: it was written by a newer toolkit.
    """
    found = raw.get("schema_version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise WorkError(f"{where} has no usable schema_version ({found!r}).", "It is not a reidclip manifest, or it is damaged.")
    if found > SCHEMA_VERSION:
        writer = raw.get("toolkit_version", "unknown")
        raise NewerSchemaError(
            f"{where} has schema {found}, written by reidclip {writer}; "
            f"this is reidclip {__version__}, which reads up to schema {SCHEMA_VERSION}.",
            f"Use a reidclip that reads schema {found}{_install(str(writer))}.",
        )
    for schema in range(found, SCHEMA_VERSION):
        raw = {**STEPS[schema - 1](raw), "schema_version": schema + 1}
    return raw


def _install(writer: str) -> str:
    """The command that brings the writer's version; empty when that is no later release than the one that runs."""
    released = re.fullmatch(r"\d+(\.\d+)*", writer)
    return f": pip install 'reidclip>={writer}'" if released and _numbers(writer) > _numbers(__version__) else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
