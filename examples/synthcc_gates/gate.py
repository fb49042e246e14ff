"""One gate, and the table of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """Something that must hold before numbers of this benchmark and this CLIP mean anything.

    Attributes:
        name: what is measured.
        needed: the bound, in words.
        measured: what was found, with its spread where there is one.
        met: whether it holds.
        chance: what knowing nothing gives; empty where that is no question.
        beside: a number that decides nothing and helps to read the one that does.
    """

    name: str
    needed: str
    measured: str
    met: bool
    chance: str = ""
    beside: str = ""

    def line(self) -> str:
        """A row of the table, in Markdown."""
        return f"| {'pass' if self.met else 'FAIL'} | {self.name} | {self.chance} | {self.needed} | {self.measured} | {self.beside} |"


def table(gates: Sequence[Gate]) -> str:
    """All gates as a Markdown table, and how many hold."""
    head = ["| | gate | chance | needed | measured | beside it |", "|---|---|---|---|---|---|"]
    failed = sum(not gate.met for gate in gates)
    told = f"{len(gates)} gates, all met." if not failed else f"{len(gates)} gates, {failed} not met."
    return "\n".join([*head, *(gate.line() for gate in gates), "", told])
