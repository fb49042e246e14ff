"""One line of what `reidclip doctor` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "absent", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, and how it is.

    Attributes:
        section: "versions", "extras", "devices", "video", "processes", "weights", "plugins", "store", "disk".
        name: of what was looked at.
        state: "absent" for what nobody needs to have, "warning" for what may go wrong or be slow, "broken" for what does not work.
        told: one line.
        remedy: what to do about it; "" where there is nothing to do.
        facts: the same for programs, as plain values.
    """

    section: str
    name: str
    state: State
    told: str
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        told = {"section": self.section, "name": self.name, "state": self.state, "told": self.told, "facts": dict(self.facts)}
        return {**told, "remedy": self.remedy} if self.remedy else told


def size(count: float) -> str:
    """Bytes as a person reads them: "1.5 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
