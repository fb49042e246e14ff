"""Random divisions of a data set as a file: relative paths, the seed they came from, and a digest to cite.

The file is JSON: ``{"format": "reidclip splits 1", "layout": "viper", "seed": 0, "digest": "...", "splits": {"split-0": {"train": [...],
"query": [...], "gallery": [...]}, ...}}``. ``seed`` is null where the divisions came from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reidclip.data.draws import SEED
from reidclip.errors import UserError
from reidclip.records import Dataset, Draw

FORMAT = "reidclip splits 1"
OWN_FILE = "reidclip-splits.json"  # in the data set's folder; the published programs keep theirs in splits.json
SIDES = ("train", "query", "gallery")


def digest_of(draws: Mapping[str, Draw]) -> str:
    """SHA-256 over names and paths in order: equal for equal divisions, wherever the data lies."""
    digest = hashlib.sha256()
    for name, draw in draws.items():
        for side in SIDES:
            digest.update("\n".join((f"{name}/{side}", *getattr(draw, side), "")).encode())
    return digest.hexdigest()


def splits_document(dataset: Dataset, draws: Mapping[str, Draw] | None = None) -> dict[str, Any]:
    """The file's content.

    Args:
        dataset: whose divisions they are.
        draws: some of them; None takes all.
    """
    chosen = dataset.draws if draws is None else draws
    splits = {name: {side: list(getattr(draw, side)) for side in SIDES} for name, draw in chosen.items()}
    seed = SEED if any(note.startswith(SEEDED) for note in dataset.notes) else None
    return {"format": FORMAT, "layout": dataset.layout, "seed": seed, "digest": digest_of(chosen), "splits": splits}


SEEDED = "The random splits are this toolkit's own"
"""How the note begins that says that no file gave the divisions."""


def is_own(document: Any) -> bool:
    """Whether a JSON document is of this format, whatever its version."""
    return isinstance(document, dict) and str(document.get("format", "")).startswith("reidclip splits")


def own_draws(path: Path, document: Mapping[str, Any]) -> dict[str, Draw]:
    """The divisions in a file of this format, paths not yet looked for.

    Raises:
        UserError: another version, or not as described above.
    """
    if document.get("format") != FORMAT:
        raise UserError(f"{path} has the format '{document.get('format')}', which this version does not read.", f"It reads '{FORMAT}'.")
    try:
        draws = {str(name): Draw(*(tuple(map(str, sides[side])) for side in SIDES)) for name, sides in document["splits"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} lacks something: {type(error).__name__} {error}.", _MEND) from error
    if digest_of(draws) != document.get("digest"):
        raise UserError(f"{path} was changed: its splits do not have the digest that it names.", _MEND)
    return draws


_MEND = "Write it again with `reidclip datasets splits`, or take it away to have the splits drawn."


def read_json(path: Path) -> Any:
    """A JSON document.

    Raises:
        UserError: it is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.", "Take it away to have the splits drawn, or restore it.") from error
