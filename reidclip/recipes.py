"""Recipes: named settings of a method, one file ``recipes/NAME.toml`` in its folder.

A recipe is a settings file (see `reidclip.settings`) whose first line, a comment, is its title. Beyond the tables of the commands it may
have ``[recipe]``, see `RecipeHeader`, and one table per method of the folder that changes what the file says for that method alone:

    # CLIP-ReID on MSMT17, ViT-B/16.
    [recipe]
    layout = "msmt17"
    extends = "market1501"

    [common]
    train_splits = ["train", "val"]

    [baseline.finetune]
    id_weight = 1.0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from reidclip import registry
from reidclip.errors import UserError, nearest
from reidclip.interfaces import Method
from reidclip.settings import Settings, read_toml, resolve, section

HEADER = "recipe"
_METHODS = "reidclip.methods"


class RecipeHeader(Settings):
    """Table ``[recipe]``."""

    layout: str | None = Field(None, description="Layout of the data set that the recipe is for; none: any data set.")
    extends: str | None = Field(None, description="Recipe of the same folder that this one starts from; its own values win.")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe as one method reads it.

    Attributes:
        title: the comment in its first line, without the mark; "" when there is none.
        layout: layout of the data set that it is for, None for any.
        documents: settings documents, those of the recipes that it extends first; later ones win.
    """

    name: str
    title: str
    layout: str | None
    documents: tuple[Mapping[str, Any], ...]

    def sections(self, command: str, model: type[Settings]) -> list[dict[str, Any]]:
        """What one command reads of it, as layers for `reidclip.settings.resolve`.

        Raises:
            UserError: a key outside the tables, or a table that no command reads.
        """
        return [section(document, command, model) for document in self.documents]


def recipe_file(method: Method, name: str) -> Path:
    """Where a recipe of the method lies.

    Raises:
        UserError: the method has no such recipe (with the nearest).
    """
    known = recipe_names(method)
    if name not in known:
        raise UserError(f"Method '{method.name}' has no recipe '{name}'.", nearest(name, known))
    return method.folder / "recipes" / f"{name}.toml"


def recipe_names(method: Method) -> list[str]:
    """Names of a method's recipes, sorted."""
    return sorted(path.stem for path in (method.folder / "recipes").glob("*.toml"))


def read_recipe(method: Method, name: str) -> Recipe:
    """Read a recipe and those that it extends.

    Raises:
        UserError: no such recipe, no valid TOML, a wrong header, or recipes that extend each other in a circle.
    """
    documents: list[Mapping[str, Any]] = []
    layout: str | None = None
    read: list[str] = []
    following: str | None = name
    while following is not None:
        if following in read:
            raise UserError(f"Recipes of method '{method.name}' extend each other in a circle: {' > '.join([*read, following])}.")
        read.append(following)
        path = recipe_file(method, following)
        document = read_toml(path)
        header = resolve(RecipeHeader, document.pop(HEADER, {}), where=f"table [recipe] of {path}", plugin=None)
        documents = [*_documents_of(document, method.name), *documents]
        layout = layout or header.layout
        following = header.extends
    return Recipe(name, _title(recipe_file(method, name)), layout, tuple(documents))


def _documents_of(document: Mapping[str, Any], method: str) -> list[Mapping[str, Any]]:
    """The file's tables for all methods, then its own table for this one; what it says for other methods is left out."""
    methods = {method, *registry.names(_METHODS)}
    shared = {table: values for table, values in document.items() if table not in methods}
    own = document.get(method)
    return [shared, own] if isinstance(own, Mapping) else [shared]


def _title(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
