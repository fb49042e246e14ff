"""Which numbered equation is which function: reads a plugin's equations.py and PAPER.md as text, imports neither.

A method keeps one function per numbered equation, ``eq10_centre_consistency``, and PAPER.md one table row per number:

    | number | symbol | function |
    |---|---|---|
    | (10) | L_con | `eq10_centre_consistency` |
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reidclip.errors import UserError, WorkError

EQUATIONS_FILE = "equations.py"
PAPER_FILE = "PAPER.md"

_NUMBERED = re.compile(r"eq(\d+)[a-z]?_\w+")
_ASKED = re.compile(r"\(?(?:eqs?[.\s_]*)?\(?0*(\d+)\)?", re.IGNORECASE)
_ROW = re.compile(r"^\|\s*\(?(\d+)\)?\s*\|([^|]*)\|([^|]*)\|")
_HEADING = re.compile(r"^(#+)\s+(.*)$")


@dataclass(frozen=True, slots=True)
class Equation:
    """One function that codes a numbered equation.

    Attributes:
        number: as the paper prints it.
        function: its name.
        path, line: where it is defined; the line counts from 1.
        summary: first line of its docstring, "" when it has none.
    """

    number: int
    function: str
    path: Path
    line: int
    summary: str


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One row of PAPER.md's table; ``functions`` is empty where an equation is not coded (the row says why)."""

    number: int
    symbol: str
    functions: tuple[str, ...]


def equations(folder: Path) -> list[Equation]:
    """Numbered functions (and names assigned to shared formulas) of a plugin folder in the paper's order; [] without equations.py.

    Raises:
        WorkError: equations.py is not valid Python.
    """
    path = folder / EQUATIONS_FILE
    if not path.is_file():
        return []
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (SyntaxError, ValueError) as error:
        raise WorkError(f"{path} is not valid Python: {error}.", "Mend the file.") from error
    found = [
        Equation(int(match[1]), name, path, node.lineno, _summary(node))
        for name, node in _named(tree)
        if (match := _NUMBERED.fullmatch(name))
    ]
    return sorted(found, key=lambda e: (e.number, e.line))


def find_equation(folder: Path, method: str, number: str) -> list[Equation]:
    """The functions of one equation; ``number`` may be written 10, (10), eq10 or "Eq. (10)".

    Raises:
        UserError: the method has no numbered equations, or none of this number (with the known ones).
    """
    known = equations(folder)
    if not known:
        raise UserError(f"'{method}' has no numbered equations.", f"They would be in {folder / EQUATIONS_FILE}.")
    match = _ASKED.fullmatch(number.strip())
    found = [e for e in known if match and e.number == int(match[1])]
    if not found:
        numbers = ", ".join(str(n) for n in sorted({e.number for e in known}))
        raise UserError(f"'{method}' has no function for equation '{number}'.", f"Known: {numbers}.")
    return found


def paper_rows(folder: Path) -> list[PaperRow]:
    """Rows of PAPER.md's equation table; [] without the file."""
    text = _paper_text(folder)
    found = (_ROW.match(line) for line in text.splitlines())
    return [PaperRow(int(m[1]), m[2].strip(), tuple(re.findall(r"`(eq\w+)`", m[3]))) for m in found if m]


def published_results(folder: Path) -> str:
    """Text of PAPER.md's section "Published results", without its heading; "" when there is none."""
    lines: list[str] = []
    level = 0  # of the heading we are under; 0 outside the section
    for line in _paper_text(folder).splitlines():
        heading = _HEADING.match(line)
        if heading and (not level or len(heading[1]) <= level):
            level = len(heading[1]) if heading[2].strip().lower().startswith("published results") else 0
        elif level:
            lines.append(line)
    return "\n".join(lines).strip()


def mismatches(folder: Path) -> list[str]:
    """What differs between equations.py and PAPER.md's table, one sentence each; [] when they agree or there is no equations.py."""
    if not (folder / EQUATIONS_FILE).is_file():
        return []
    if not (folder / PAPER_FILE).is_file():
        return [f"{folder / EQUATIONS_FILE} has no {PAPER_FILE} beside it"]
    coded = equations(folder)
    told = {(row.number, function) for row in paper_rows(folder) for function in row.functions}
    have = {(e.number, e.function) for e in coded}
    lines = [f"{PAPER_FILE} has no row ({n}) for {function}" for n, function in sorted(have - told)]
    lines += [f"{PAPER_FILE} row ({n}) names {function}, which {EQUATIONS_FILE} does not define" for n, function in sorted(told - have)]
    lines += [
        f"{EQUATIONS_FILE}:{e.line}: the docstring of {e.function} does not start with 'Eq. ({e.number})'"
        for e in coded
        if e.summary and not e.summary.startswith(f"Eq. ({e.number})")
    ]
    return lines + [f"{EQUATIONS_FILE}:{e.line}: {e.function} has no docstring" for e in coded if not e.summary]


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node) for target in node.targets if isinstance(target, ast.Name))


def _summary(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign):  # a shared formula under its number: the right-hand side says all
        return f"Eq. ({int(_number_of(node))}): {ast.unparse(node.value)}"
    text = ast.get_docstring(node) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else None
    return text.splitlines()[0] if text else ""


def _number_of(node: ast.Assign) -> str:
    names = (target.id for target in node.targets if isinstance(target, ast.Name))
    return next(match[1] for name in names if (match := _NUMBERED.fullmatch(name)))


def _paper_text(folder: Path) -> str:
    path = folder / PAPER_FILE
    return path.read_text(encoding="utf-8") if path.is_file() else ""
