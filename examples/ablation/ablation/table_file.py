"""The TOML that describes a table: what it may say, and every mistake in it as a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from reidclip.errors import UserError, nearest
from reidclip.settings import Settings, parse_assignments, read_toml, resolve

ZERO_SHOT = "zero-shot"
COMMANDS = ("prompt-learn", "finetune", "evaluate")


class MaskSource(Settings):
    """Where masks come from; exactly one of ``labels``, ``parser`` and ``blank``."""

    labels: Path | None = Field(None, description="Folder of label maps made elsewhere (rendered sets: DATA/parsing).")
    parser: str | None = Field(None, description="A registered parser, run with the settings of `parse`.")
    blank: bool = Field(False, description="No pixel is clothes: what a method does without the masks that it asks for.")
    parse: dict[str, Any] = Field({}, description="Settings of the parser.")
    mask: dict[str, Any] = Field({}, description="Settings of `reidclip mask`: clothes, dilation, shielding ...")


class RowTable(Settings):
    """One ``[[row]]``: a method and what is changed for it."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, populate_by_name=True)

    name: str = Field(min_length=1, description="Shown in the table. In a row with `sweep`, {} stands for the value.")
    method: str = Field(description=f"A registered method, or '{ZERO_SHOT}' for the plain CLIP.")
    masks: str | None = Field(None, description="A name of [masks]; needed by methods that read masks. Default: the only one there is.")
    recipe: str | None = Field(None, description="Recipe of the method; the table's own when left out, none when empty.")
    common: dict[str, Any] = Field({}, description="Settings of every command that knows them.")
    prompt_learn: dict[str, Any] = Field({}, alias="prompt-learn", description="Settings of prompt-learn.")
    finetune: dict[str, Any] = Field({}, description="Settings of finetune.")
    evaluate: dict[str, Any] = Field({}, description="Settings of evaluate.")
    sweep: dict[str, list[Any]] = Field({}, description='One key and its values, {"finetune.lambda1" = [0, 0.1]}: a row for each.')
    compare_with: str | None = Field(None, description="The row that it is compared with. Default: the one above.")


class TableFile(Settings):
    """The whole file."""

    title: str = Field("Ablation", description="Heading of the table.")
    note: str = Field("", description="A paragraph below the heading.")
    data: Path = Field(description="Folder of the data set; relative to where the program is started.")
    layout: str | None = Field(None, description="Layout of the data. Default: recognised.")
    test_data: Path | None = Field(None, description="Evaluate on another data set than the one trained on.")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="Seeds of the trainings; every row has all of them.")
    prompt_seed: int | None = Field(
        None, description="Learn prompts with this seed for all; cheaper, but the interval leaves their spread out."
    )
    protocols: tuple[str, ...] = Field((), description="Protocols to report. Default: all of the data set but single-shot.")
    recipe: str | None = Field("tiny", description="Recipe of every row that names none.")
    settings: dict[str, dict[str, Any]] = Field({}, description="Settings of all rows: [settings.common], [settings.finetune] ...")
    masks: dict[str, MaskSource] = Field({}, description="Sources of masks by name.")
    row: tuple[RowTable, ...] = Field(min_length=1, description="The rows, top to bottom.")


def read_table(path: Path, assignments: Sequence[str] = (), overrides: Mapping[str, Any] | None = None) -> TableFile:
    """Read a table.

    Args:
        path: the TOML.
        assignments: ``finetune.epochs=2``: changes of its [settings].
        overrides: top-level keys that take the place of the file's ("data", "seeds"); None values are left out. Label maps below the
            file's data follow "data".

    Raises:
        UserError: naming the file, and every mistake.
    """
    document = read_toml(path)
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    table = resolve(
        TableFile, document, given, {"settings": parse_assignments(assignments)} if assignments else {}, where=f"table {path}", plugin=None
    )
    _check(table, path)
    if "data" in given:
        table = _with_its_own_maps(table, document.get("data"))
    for name, source in table.masks.items():
        if source.labels is not None and table.data.is_dir() and not source.labels.is_dir():
            raise UserError(
                f"{path}: [masks.{name}] labels: {source.labels} is no folder.",
                "Label maps lie below it as pictures do below the data; paths are taken from where the program is started.",
            )
    return table


def _with_its_own_maps(table: TableFile, written: str | None) -> TableFile:
    """Label maps that the file has below its own data are looked for below the data given instead.

    Two rendered sets have pictures of the same names: the maps of the other one would fit every picture, and mask other people.
    """
    masks = {
        name: source.model_copy(update={"labels": table.data / source.labels.relative_to(written)})
        if written and source.labels is not None and source.labels.is_relative_to(written)
        else source
        for name, source in table.masks.items()
    }
    return table.model_copy(update={"masks": masks})


def _check(table: TableFile, path: Path) -> None:
    unknown = next((name for name in table.settings if name not in ("common", *COMMANDS)), None)
    if unknown is not None:
        raise UserError(f"{path}: no command of a table reads [settings.{unknown}].", nearest(unknown, ("common", *COMMANDS)))
    if len(set(table.seeds)) < len(table.seeds):
        raise UserError(f"{path}: a seed stands twice in {list(table.seeds)}.", "Give every seed once: equal seeds give equal runs.")
    for name, source in table.masks.items():
        if sum((source.labels is not None, source.parser is not None, source.blank)) != 1:
            raise UserError(f"{path}: [masks.{name}] needs exactly one of labels, parser and blank.", "Keep one of them.")
    for row in table.row:
        if row.masks is not None and row.masks not in table.masks:
            raise UserError(f"{path}: row '{row.name}' names masks '{row.masks}'.", nearest(row.masks, table.masks))
        if len(row.sweep) > 1:
            raise UserError(f"{path}: row '{row.name}' sweeps {len(row.sweep)} keys.", "Sweep one key per row.")
