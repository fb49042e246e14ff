"""What was published: ``published.toml`` beside a method's PAPER.md, read as rows.

A row says what a paper, or a log beside published code, reports for one recipe on one data set. Numbers are copied, never computed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from reidclip.errors import UserError
from reidclip.interfaces import Method
from reidclip.settings import Settings, read_toml, resolve

PUBLISHED_FILE = "published.toml"


class PublishedResult(Settings):
    """One row: a table ``[[result]]`` of the file."""

    method: str = Field(description="Method of this folder.")
    recipe: str = Field(description="Recipe that carries the published settings.")
    layout: str = Field(description="Layout of the data set that was trained and tested on.")
    protocols: tuple[str, ...] = Field(
        min_length=1, description="Protocol that the numbers belong to; several when the source does not say which of them."
    )
    R1: float = Field(ge=0, le=100, description="Rank-1 in per cent, as printed.")
    mAP: float = Field(ge=0, le=100, description="Mean average precision in per cent, as printed.")  # noqa: N815
    source: str = Field(min_length=1, description="Paper and version, or log.")
    status: Literal["R", "T", "G"] = Field(description="R: read in the source; T: quoted from it by an independent document; G: hearsay.")
    masks_by: str = Field("", description="Parser that made the masks of the published run; empty for methods without masks.")
    note: str = Field("", description="What a reader of the comparison should know, one sentence.")


def read_published(folder: Path) -> tuple[PublishedResult, ...]:
    """Rows of a method folder's table, in its order; none without the file.

    Raises:
        UserError: no valid TOML, or a row with a missing, unknown or impossible value.
    """
    path = folder / PUBLISHED_FILE
    if not path.is_file():
        return ()
    document = read_toml(path)
    rows: Any = document.pop("result", [])
    if document or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} holds something beside its rows.", "Write one table [[result]] per row and nothing else.")
    return tuple(resolve(PublishedResult, row, where=f"row {number} of {path}", plugin=None) for number, row in enumerate(rows, start=1))


def published_rows(method: Method, recipe: str | None, layout: str) -> dict[str, PublishedResult]:
    """By protocol: what was published for this method, recipe and data set."""
    fitting = [r for r in read_published(method.folder) if (r.method, r.recipe, r.layout) == (method.name, recipe, layout)]
    return {protocol: row for row in fitting for protocol in row.protocols}
