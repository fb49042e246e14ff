"""Where one row of the fault table runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.error_inputs.kitchen import Kitchen

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif")


@dataclass
class Place:
    """The working folder of one command.

    Attributes:
        root: the folder; the command runs in it.
        kitchen: what was made once for all rows.
        patch: undone after the row.
        unprivileged: run the command as a user whom permissions stop (tests may run as root, whom nothing stops).
    """

    root: Path
    kitchen: Kitchen
    patch: pytest.MonkeyPatch
    unprivileged: bool = False

    @property
    def data(self) -> Path:
        """The data set, where a row has one."""
        return self.root / "data"

    @property
    def store(self) -> Path:
        """The artifacts."""
        return self.root / "artifacts"

    @property
    def sentinel(self) -> Path:
        """What a pickle with code in it would create."""
        return self.root / "code-was-run"

    def picture(self, half: str = "") -> Path:
        """The first picture (or frame): of the whole folder, or of the data set's "train" or "test" half."""
        if not half:
            return next(p for p in sorted(self.data.rglob("*")) if p.suffix in PICTURES)
        from reidclip.data.open import open_dataset

        dataset = open_dataset(self.data)
        learned = dataset.split("train") or next(dataset.split(name) for name in dataset.draws)
        usual = [protocol for protocol in dataset.protocols if not protocol.single_shot_repeats]
        compared = {s.path for protocol in usual for side in dataset.query_and_gallery(protocol) for s in side}
        tested = (s for s in dataset.samples if s.path in compared)
        return dataset.root / (learned[0] if half == "train" else next(tested)).pictures[0]
