"""A label set of one's own, from a TOML file: merged labels as other repositories ship them.

labels = ["Background", "Head", "Top", "Trousers", "Shoes", "Skin"]
clothes = ["Top", "Trousers"]
colours = [[0, 0, 0], [255, 0, 0], ...]     # only for colour-coded maps in other colours than SCHP's
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from reidclip.data.label_sets import LABEL_SETS, LabelSet, choose_clothes
from reidclip.data.shielding import Colour, colour_of
from reidclip.errors import UserError, nearest
from reidclip.settings import Settings, read_toml, resolve

EXAMPLE = 'Write for example: labels = ["Background", "Head", "Top", "Trousers"] and clothes = ["Top", "Trousers"].'


class LabelSetFile(Settings):
    """Keys of the file."""

    labels: tuple[str, ...] = Field(min_length=2, max_length=256, description="Name of every label, from index 0, the background.")
    clothes: tuple[str, ...] = Field(default=(), description="Labels that are clothes; may be left to --set clothes=...")
    colours: tuple[Colour, ...] = Field(default=(), description="Red, green and blue of every label, for colour-coded maps.")

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        lower = [label.lower() for label in labels]
        twice = sorted({label for label in labels if lower.count(label.lower()) > 1})
        if twice:
            raise ValueError(f"two labels are named '{twice[0]}'")
        return labels

    @field_validator("colours", mode="after")
    @classmethod
    def _colours(cls, colours: tuple[Colour, ...]) -> tuple[Colour, ...]:
        if len(set(colours)) != len(colours):
            raise ValueError("two labels have the same colour")
        return tuple(colour_of(colour) for colour in colours)


def label_set_for(name: str) -> LabelSet:
    """The label set named on the command line: one of `LABEL_SETS`, or a TOML file.

    Raises:
        UserError: neither, or a file that is no label set; names the file and what is wrong with it.
    """
    if name.lower() in LABEL_SETS:
        return LABEL_SETS[name.lower()]
    path = Path(name)
    if path.is_file():
        return _read(path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UserError(f"There is no label set file at {path}.", "Check the path given with --label-set.")
    raise UserError(f"There is no label set '{name}'.", f"{nearest(name.lower(), LABEL_SETS)} Or give a TOML file with your own.")


def _read(path: Path) -> LabelSet:
    try:
        document = read_toml(path)
        found = resolve(LabelSetFile, document, where=f"label set {path}")
    except UserError as error:
        raise UserError(error.what, EXAMPLE) from error
    if found.colours and len(found.colours) != len(found.labels):
        raise UserError(f"Label set {path} has {len(found.labels)} labels but {len(found.colours)} colours.", "Give one colour per label.")
    label_set = LabelSet(path.stem, found.labels, found.clothes, f"From {path}.", found.colours)
    if found.clothes:
        try:
            choose_clothes(label_set)
        except UserError as error:
            raise UserError(f"Label set {path}: {error.what}", error.remedy) from error
    return label_set
