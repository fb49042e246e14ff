"""The rows of a table with sweeps written out, and the settings that each command of a row resolves to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ablation.table_file import COMMANDS, ZERO_SHOT, RowTable, TableFile
from reidclip import registry
from reidclip.errors import UserError, nearest
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.interfaces import Distiller, DistillNeeds, Method
from reidclip.recipes import read_recipe
from reidclip.settings import Settings, resolve
from reidclip.stages.choose import METHODS, settings_for


@dataclass(frozen=True)
class Row:
    """One line of the table, settings resolved.

    Attributes:
        method: None for the plain CLIP.
        recipe: its recipe, None where there is none.
        settings: of each command that the row runs: "prompt-learn" (only where fine-tuning reads prompts), "finetune" or "distill",
            "evaluate".
        clip: the CLIP that it starts from; of a distilled row the student.
        masks: name of its source of masks, None when nothing in it reads masks.
        compare_with: name of the row that it is compared with; None for the first.
        other_budget: it is meant to train longer or shorter than others.
        teacher: the row whose checkpoints are distilled; None where there is none, or a CLIP is.
        needs: what distill reads; None for rows that are fine-tuned.
    """

    name: str
    method: Method | None
    recipe: str | None
    settings: Mapping[str, Settings]
    clip: str
    masks: str | None
    compare_with: str | None
    other_budget: bool = False
    teacher: Row | None = None
    needs: DistillNeeds | None = None

    @property
    def training(self) -> str:
        """The command that makes its checkpoint."""
        return "distill" if "distill" in self.settings else "finetune"


def rows_of(table: TableFile) -> tuple[Row, ...]:
    """All rows, top to bottom.

    Raises:
        UserError: unknown names and settings, two rows of one name, a comparison with a row that is not there.
    """
    _check_shared_settings(table)
    rows: list[Row] = []
    for line in (written for row in table.row for written in _written_out(row)):
        above = rows[-1].name if rows else None
        row = _resolved(table, line, line.compare_with or above, rows)
        if row.name in {r.name for r in rows}:
            raise UserError(f"Two rows are called '{row.name}'.", "Give each its own name; in a row with a sweep, write {} for the value.")
        if row.compare_with is not None and row.compare_with not in {r.name for r in rows}:
            raise UserError(f"Row '{row.name}' is compared with '{row.compare_with}'.", nearest(row.compare_with, [r.name for r in rows]))
        rows.append(row)
    return tuple(rows)


def _written_out(row: RowTable) -> Iterator[RowTable]:
    """A row without sweep as it is, else one per value."""
    if not row.sweep:
        yield row
        return
    ((path, values),) = row.sweep.items()
    command, _, key = path.partition(".")
    field = command.replace("-", "_")
    if command not in ("common", *COMMANDS) or not key:
        raise UserError(f"Row '{row.name}' sweeps '{path}'.", 'Write for example sweep = {"finetune.lambda1" = [0, 0.1]}.')
    for value in values:
        changed = {**getattr(row, field), **_nested(key, value)}
        yield row.model_copy(update={"name": row.name.replace("{}", f"{value}"), field: changed, "sweep": {}})


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    found: dict[str, Any] = value
    return found


def _resolved(table: TableFile, row: RowTable, compare_with: str | None, above: Sequence[Row]) -> Row:
    recipe = (row.recipe if row.recipe is not None else table.recipe) or None
    if row.method == ZERO_SHOT:
        from reidclip.train.settings import ModelSettings

        clip = resolve(ModelSettings, _known(table, row, "common", ModelSettings), where=f"settings of row '{row.name}'").clip
        _refuse_unread(row, ("prompt_learn", "finetune", "distill"))
        settings = {"evaluate": resolve(EvaluateSettings, _layer(table, row, "evaluate", EvaluateSettings), where=_where(row, "evaluate"))}
        return Row(row.name, None, None, settings, clip, None, compare_with)
    method: Method = registry.get(METHODS, row.method)
    _check_common(row, method)
    training = "distill" if "finetune" not in method.settings else "finetune"
    _refuse_other_training(row, training)
    found: dict[str, Settings] = {training: _of_command(table, row, method, training, recipe)}
    if training == "finetune" and method.needs_prompts(found["finetune"]):
        found["prompt-learn"] = _of_command(table, row, method, "prompt-learn", recipe)
    told = read_recipe(method, recipe).sections("evaluate", EvaluateSettings) if recipe else []
    found["evaluate"] = resolve(EvaluateSettings, *told, _layer(table, row, "evaluate", EvaluateSettings), where=_where(row, "evaluate"))
    if getattr(found[training], "blur_faces", False):
        raise UserError(
            f"Row '{row.name}' blurs faces, for which a table has no parsing.",
            "Blur them by reidclip finetune or distill, or leave it out.",
        )
    reads_masks = any(method.needs_masks(command, found[command]) for command in ("prompt-learn", training) if command in found)
    clip, masks = str(getattr(found[training], "network", "")), _masks(table, row, reads_masks)
    needs = cast(Distiller, method).distill_needs(found[training]) if training == "distill" else None
    teacher = _teacher(table, row, needs, above)
    return Row(row.name, method, recipe, found, clip, masks, compare_with, row.other_budget, teacher, needs)


def _teacher(table: TableFile, row: RowTable, needs: DistillNeeds | None, above: Sequence[Row]) -> Row | None:
    """The row whose checkpoints a row is distilled from; also, whatever else distilling reads is there."""
    if needs is not None and needs.meshes and table.meshes is None:
        raise UserError(
            f"Row '{row.name}' is distilled with rendered bodies, and the table names none.",
            'Render them (reidclip synth data/meshes --meshes) and say meshes = "data/meshes" at its top.',
        )
    trained = [r.name for r in above if r.method is not None]
    if needs is None or needs.teacher != "checkpoint":
        if row.teacher is not None:
            raise UserError(f"Row '{row.name}' names a row as its teacher, but distils no checkpoint.", "Leave teacher out.")
        return None
    if row.teacher is None:
        raise UserError(
            f"Row '{row.name}' distils a checkpoint, and names none.", f"Give it teacher = one of {', '.join(trained) or 'the rows above'}."
        )
    if row.teacher not in trained:
        raise UserError(f"Row '{row.name}' has '{row.teacher}' as its teacher, no trained row above.", nearest(row.teacher, trained))
    return next(r for r in above if r.name == row.teacher)


def _of_command(table: TableFile, row: RowTable, method: Method, command: str, recipe: str | None) -> Settings:
    if command not in method.settings:
        raise UserError(f"Row '{row.name}': method '{row.method}' has no {command} stage.", "Take another method.")
    try:
        model = method.settings[command]
        # What the table says to all rows may do nothing in one of them; what a row says of itself may not.
        return settings_for(method, command, recipe, None, _of_row(row, command, model), _of_table(table, command, model))
    except UserError as error:
        raise UserError(f"Row '{row.name}': {error.what}", error.remedy) from error


def _layer(table: TableFile, row: RowTable, command: str, model: type[Settings]) -> dict[str, Any]:
    """What table and row say of one command."""
    return {**_of_table(table, command, model), **_of_row(row, command, model)}


def _of_table(table: TableFile, command: str, model: type[Settings]) -> dict[str, Any]:
    """The table's own keys where the method knows them."""
    told = {**table.settings.get("common", {}), **table.settings.get(command, {})}
    return {key: value for key, value in told.items() if key in model.model_fields}


def _of_row(row: RowTable, command: str, model: type[Settings]) -> dict[str, Any]:
    """What the row says: common keys where the command knows them, the command's own as they are."""
    own: dict[str, Any] = getattr(row, command.replace("-", "_"))
    return {**{key: value for key, value in row.common.items() if key in model.model_fields}, **own}


def _known(table: TableFile, row: RowTable, name: str, model: type[Settings]) -> dict[str, Any]:
    return {k: v for k, v in {**table.settings.get(name, {}), **row.common}.items() if k in model.model_fields}


def _masks(table: TableFile, row: RowTable, needed: bool) -> str | None:
    if not needed:
        return None
    if row.masks is not None:
        return row.masks
    if len(table.masks) == 1:
        return next(iter(table.masks))
    raise UserError(f"Row '{row.name}' reads masks, and names none.", f"Give it masks = one of {', '.join(table.masks) or '[masks.NAME]'}.")


def _refuse_unread(row: RowTable, fields: tuple[str, ...]) -> None:
    given = next((field for field in fields if getattr(row, field)), None)
    if given is not None:
        raise UserError(f"Row '{row.name}' evaluates the plain CLIP, but has settings of {given.replace('_', '-')}.", "Leave them out.")


def _refuse_other_training(row: RowTable, training: str) -> None:
    other, done = ("distill", "fine-tuned") if training == "finetune" else ("finetune", "distilled")
    if getattr(row, other):
        raise UserError(f"Row '{row.name}' is {done}, but has settings of {other}.", f"Call them {training} = {{ ... }}.")


def _check_common(row: RowTable, method: Method) -> None:
    models: tuple[type[Settings], ...] = (*method.settings.values(), EvaluateSettings)
    known = {key for model in models for key in model.model_fields}
    unknown = next((key for key in row.common if key not in known), None)
    if unknown is not None:
        raise UserError(f"Row '{row.name}': no command of method '{row.method}' knows '{unknown}'.", nearest(unknown, known))


def _check_shared_settings(table: TableFile) -> None:
    """A key of the table's [settings] that no method at all knows is a slip of the pen; one that this table's methods do not is none."""
    methods: list[Method] = [info.object for info in registry.all_infos(METHODS) if info.object is not None]
    for command, values in table.settings.items():
        models: list[type[Settings]] = [m for method in methods for name, m in method.settings.items() if command in ("common", name)]
        models += [EvaluateSettings] if command in ("common", "evaluate") else []
        known = {key for model in models for key in model.model_fields}
        unknown = next((key for key in values if key not in known), None)
        if unknown is not None:
            raise UserError(f"No method knows '{unknown}' of [settings.{command}].", nearest(unknown, known))


def _where(row: RowTable, command: str) -> str:
    return f"{command} settings of row '{row.name}'"
