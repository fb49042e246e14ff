"""The settings file that a user gives as ``--config``: read for one command, its mistakes told with the file's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reidclip import registry
from reidclip.errors import UserError, nearest
from reidclip.settings import Settings, read_toml, section


def read_config(path: Path, command: str, model: type[Settings]) -> dict[str, Any]:
    """What the file says of one command: ``[common]``, then the command's own table.

    A key of ``[common]`` may belong to another command than this one; one that no command knows is a slip of the pen.

    Raises:
        UserError: naming the file: missing, no TOML, an unknown table, a key outside the tables, a key of [common] that nothing reads.
    """
    document = read_toml(path)
    try:
        found = section(document, command, model)
    except UserError as error:
        raise UserError(f"{path}: {error.what}", error.remedy) from error
    foreign = [key for key in document.get("common", {}) if key not in model.model_fields]
    if foreign:
        known = {key for other in _all_models() for key in other.model_fields}
        nowhere = next((key for key in foreign if key not in known), None)
        if nowhere is not None:
            raise UserError(f"{path}: key '{nowhere}' of [common] is a setting of no command.", nearest(nowhere, known))
    return found


def beside(config: Path | None) -> str:
    """What the title of a wrong setting says of the file that may hold it."""
    return "" if config is None else f" (with --config {config})"


def _all_models() -> Iterator[type[Settings]]:
    """Settings classes of all commands, methods and parsers that can be loaded."""
    from reidclip.evaluation.settings import EvaluateSettings, ShapeSettings
    from reidclip.stages.mask import MaskSettings

    yield from (MaskSettings, EvaluateSettings, ShapeSettings)
    for info in registry.all_infos("reidclip.methods"):
        if info.object is not None:
            yield from info.object.settings.values()
    for info in registry.all_infos("reidclip.parsers"):
        if info.object is not None:
            yield info.object.settings
