"""``reidclip datasets splits`` as a function: the random divisions of a data set, as a file to keep or to cite."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidclip.data.open import open_dataset
from reidclip.data.split_files import splits_document
from reidclip.errors import UserError
from reidclip.records import Dataset


@dataclass(frozen=True)
class Splits:
    """The divisions of a data set.

    Attributes:
        dataset: whose they are.
        document: the file's content, see `reidclip.data.split_files`.
    """

    dataset: Dataset
    document: dict[str, Any]

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(self.document, indent=1) + "\n", encoding="utf-8")


def read_splits(root: Path, layout: str | None = None) -> Splits:
    """The divisions that an evaluation of this folder would take.

    Args:
        root: folder of the data set.
        layout: its name; None recognises it.

    Raises:
        UserError: no data set, or one without random divisions.
    """
    dataset = open_dataset(root, layout)
    if not dataset.draws:
        raise UserError(
            f"{root} ({dataset.layout}) has no random splits: its training and test pictures are fixed.",
            "VIPeR, PRID, GRID, i-LIDS and CUHK03's classic protocol have some.",
        )
    return Splits(dataset, splits_document(dataset))
