"""Settings: strict models, merged in one order, with every mistake told at once and as a sentence.

Order: defaults < recipe < ``--config FILE.toml`` < ``--set key=value``. A settings file has one table per command
(``[prompt-learn]``, ``[finetune]``, ``[parse]`` ...); ``[common]`` applies to all of them.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from reidclip.errors import UserError, closest, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

TABLES = ("common", "parse", "mask", "prompt-learn", "finetune", "distill", "evaluate", "export")
"""Tables that a settings file may have: one per command that reads settings, and one for all of them."""


class Settings(BaseModel):
    """Base of all settings: unknown keys refused, values immutable, fields documented by their ``description``.

    A key of several texts (``tuple[str, ...]``) also takes them as one, with commas between: ``--set clothes=Pants,Coat``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _several_texts(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and _takes_texts(cls.model_fields[str(info.field_name)].annotation):
            return _texts(value)
        return value


S = TypeVar("S", bound=Settings)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a missing or malformed file is a `UserError` that names it."""
    if not path.is_file():
        raise UserError(f"No settings file at {path}.", "Check the path given with --config.")
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.", "Mend the line it names.") from error
    return document


def section(document: Mapping[str, Any], command: str, model: type[Settings]) -> dict[str, Any]:
    """The part of a settings document that one command reads: ``[common]`` (known keys only), then its own table.

    Raises:
        UserError: a key outside the tables, or a table that no command reads.
    """
    for name, value in document.items():
        if not isinstance(value, Mapping):
            raise UserError(f"Setting '{name}' stands outside any table, where nothing reads it.", f"Put it under [{command}] or [common].")
        if name not in TABLES:
            raise UserError(f"No command reads a table [{name}] of settings.", nearest(name, TABLES))
    common = {k: v for k, v in document.get("common", {}).items() if k in model.model_fields}
    return _deep_merge(common, document.get(command, {}))


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """``["lr=1e-4", "input.height=256"]`` -> nested dict; values are read as TOML, else taken as text."""
    merged: dict[str, Any] = {}
    for text in assignments:
        key, sep, raw = text.partition("=")
        if not sep or not key.strip():
            raise UserError(f"--set '{text}' is not of the form key=value.", "Write for example --set epochs=10.")
        node: dict[str, Any] = _toml_value(raw.strip())
        for part in reversed(key.strip().split(".")):
            node = {part: node}
        merged = _deep_merge(merged, node)
    return merged


def resolve(
    model: type[S],
    *layers: Mapping[str, Any],
    where: str,
    plugin: str | None = "NAME",
    commands: Mapping[str, type[Settings]] | None = None,
) -> S:
    """Merge the layers, later ones winning, and validate.

    Args:
        model: the settings class.
        layers: recipe section, config section, assignments.
        where: what the settings belong to, for the error ("finetune settings of method ccaf").
        plugin: whose settings they are, for the remedy; None for a command's own, whose few keys are then listed.
        commands: settings of the plugin's commands, by name: an unknown key may be one of another command.

    Raises:
        UserError: with one sentence per mistake, each naming the key and, for an unknown key, its nearest neighbour or its command.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _deep_merge(merged, dict(layer))
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        mistakes = error.errors()
        sentences = [_sentence(model, mistake, commands or {}) for mistake in mistakes]
        if plugin and any(_unknown_here(mistake) and _command_of(mistake, commands or {}) is None for mistake in mistakes):
            sentences.append(f"Known: {', '.join(sorted(model.model_fields))}.")
        remedy = f"See `reidclip plugins show {plugin}` for every key." if plugin else f"Keys: {', '.join(model.model_fields)}."
        raise UserError(f"Wrong {where}: " + " ".join(sentences), remedy) from error


def _deep_merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        old = merged.get(key)
        merged[key] = _deep_merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _toml_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"v = {raw}")["v"]
    except tomllib.TOMLDecodeError:
        return raw


def _takes_texts(annotation: Any) -> bool:
    """``tuple[str, ...]``, or that or None."""
    return annotation == tuple[str, ...] or tuple[str, ...] in typing.get_args(annotation)


def _texts(value: str) -> tuple[str, ...]:
    """``Pants, Coat`` -> two texts; a shell leaves ``[Pants,Coat]`` of a list whose quotes were not quoted."""
    bare = value.strip()
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    return tuple(part for piece in bare.split(",") if (part := piece.strip().strip("\"'")))


def _sentence(model: type[BaseModel], error: Any, commands: Mapping[str, type[Settings]]) -> str:
    # people count the entries of a list from 1
    path = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if _unknown_here(error):
        other = _command_of(error, commands)
        hint = f"It is a setting of `{other}`." if other else closest(path, model.model_fields)
        return f"unknown key '{path}'. {hint}".rstrip()
    if error["type"] == "extra_forbidden":
        return f"unknown key '{path}'. {nearest(str(error['loc'][-1]), _fields_at(model, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"key '{path}' is missing."
    said = error["msg"].removeprefix("Value error, ")  # pydantic's word for what a validator of ours said
    whole = error["type"] == "value_error" and isinstance(error["input"], Mapping)  # of several keys together: the sentence names them
    if whole:
        return f"{f'table {path!r}: ' if path else ''}{said.rstrip('.')}."
    return f"key '{path}': {said[0].lower()}{said[1:]} (given: {error['input']!r})."


def _unknown_here(error: Any) -> bool:
    """A key of the settings themselves, not of a table in them."""
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1


def _command_of(error: Any, commands: Mapping[str, type[Settings]]) -> str | None:
    return next((command for command, settings in commands.items() if error["loc"][0] in settings.model_fields), None)


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Keys of the table at a place: of a model, or of the models in a list or a mapping."""
    current: Any = model
    for part in loc:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(part)
            current = field.annotation if field else None
        else:  # an entry of a list or a mapping: its place says nothing about what it is
            current = next((kind for kind in typing.get_args(current) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return []
    return [field.alias or name for name, field in current.model_fields.items()]
