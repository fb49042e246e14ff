"""The TOML that describes a table: what it may say, and every mistake in it as a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator

from reidclip.errors import UserError, nearest
from reidclip.settings import Settings, parse_assignments, read_toml, resolve

ZERO_SHOT = "zero-shot"
Seed = Annotated[int, Field(ge=0)]
COMMANDS = ("prompt-learn", "finetune", "distill", "evaluate")


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
    distill: dict[str, Any] = Field({}, description="Settings of distill, which methods of distillation run in place of the two.")
    teacher: str | None = Field(
        None, description="For methods that distil a checkpoint: the row above whose checkpoints, seed by seed, are the teachers."
    )
    evaluate: dict[str, Any] = Field({}, description="Settings of evaluate.")
    sweep: dict[str, list[Any]] = Field({}, description='One key and its values, {"finetune.lambda1" = [0, 0.1]}: a row for each.')
    other_budget: bool = Field(False, description="It trains longer or shorter than the other rows, and is meant to.")
    compare_with: str | None = Field(None, description="The row that it is compared with. Default: the one above.")


class TableFile(Settings):
    """The whole file."""

    title: str = Field("Ablation", description="Heading of the table.")
    note: str = Field("", description="A paragraph below the heading.")
    data: tuple[Path, ...] = Field(
        min_length=1,
        description="Folder of the data set, or of several that are trained on as one; relative to where the program is started.",
    )
    layout: str | None = Field(None, description="Layout of the data. Default: recognised.")
    test_data: Path | None = Field(None, description="Evaluate on another data set than the one trained on.")
    leave_one_out: bool = Field(
        False, description="Every data set is a target once: trained on all the others, evaluated on it. The table ends in the average."
    )
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1, description="Seeds of the trainings; every row has all of them.")
    prompt_seed: Seed | None = Field(
        None, description="Learn prompts with this seed for all; cheaper, but the interval leaves their spread out."
    )
    protocols: tuple[str, ...] = Field((), description="Protocols to report. Default: all of the data set but single-shot.")
    recipe: str | None = Field("tiny", description="Recipe of every row that names none.")
    settings: dict[str, dict[str, Any]] = Field({}, description="Settings of all rows: [settings.common], [settings.finetune] ...")
    masks: dict[str, MaskSource] = Field({}, description="Sources of masks by name.")
    meshes: Path | None = Field(None, description="Folder of rendered bodies, for rows that are distilled with them.")
    network_costs: bool = Field(False, description="The table ends in what every row's network costs: parameters, operations.")
    row: tuple[RowTable, ...] = Field(min_length=1, description="The rows, top to bottom.")

    @field_validator("data", mode="before")
    @classmethod
    def _one_folder(cls, value: object) -> object:
        return (value,) if isinstance(value, (str, Path)) else value


def read_table(path: Path, assignments: Sequence[str] = (), overrides: Mapping[str, Any] | None = None) -> TableFile:
    """Read a table.

    Args:
        path: the TOML.
        assignments: ``finetune.epochs=2``: changes of its [settings].
        overrides: top-level keys that take the place of the file's ("data", "seeds"); None values are left out. Label maps below the
            file's data follow "data", where both are one folder.

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
        if source.labels is not None and table.data[0].is_dir() and not source.labels.is_dir():
            raise UserError(
                f"{path}: [masks.{name}] labels: {source.labels} is no folder.",
                "Label maps lie below it as pictures do below the data; paths are taken from where the program is started.",
            )
    return table


def _with_its_own_maps(table: TableFile, written: object) -> TableFile:
    """Label maps that the file has below its own data are looked for below the data given instead.

    Two rendered sets have pictures of the same names: the maps of the other one would fit every picture, and mask other people.
    """
    masks = {
        name: source.model_copy(update={"labels": table.data[0] / source.labels.relative_to(written)})
        if isinstance(written, str) and source.labels is not None and source.labels.is_relative_to(written)
        else source
        for name, source in table.masks.items()
    }
    return table.model_copy(update={"masks": masks})


def _check(table: TableFile, path: Path) -> None:
    _check_data(table, path)
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


def _check_data(table: TableFile, path: Path) -> None:
    """Which folders are trained on and which is evaluated has one answer."""
    if table.leave_one_out and len(table.data) < 2:
        raise UserError(f"{path}: leave_one_out needs two data sets or more, data names one.", "Name them all: data = [..., ...].")
    if table.leave_one_out and table.test_data is not None:
        raise UserError(f"{path}: leave_one_out says what is evaluated, and so does test_data.", "Keep one of them.")
    if len(table.data) == 1:
        return
    if not table.leave_one_out and table.test_data is None:
        raise UserError(
            f"{path}: data names {len(table.data)} data sets, and nothing says which is evaluated.",
            "Say test_data = FOLDER, or leave_one_out = true to evaluate on each in turn.",
        )
    for name, source in table.masks.items():
        if source.labels is not None:
            raise UserError(
                f"{path}: [masks.{name}] labels belong to one data set, data names {len(table.data)}.", "Use a parser, or blank."
            )
