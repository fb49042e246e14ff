"""Paper and code stay in step: every numbered function is in its PAPER.md, and the reverse, for every registered method."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from reidclip import registry
from reidclip.stages.equations import equations, mismatches, paper_rows, published_results

FOLDERS = sorted(
    {
        Path(i.object.folder)
        for i in registry.all_infos("reidclip.methods")
        if i.object is not None and (Path(i.object.folder) / "equations.py").is_file()
    }
)

every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=[f.name for f in FOLDERS])


def test_the_bundled_methods_are_among_them() -> None:
    assert {"reidclip_clipreid", "reidclip_ccaf"} <= {f.name for f in FOLDERS}


@every_folder
def test_table_and_functions_agree(folder: Path) -> None:
    # Read with a plain search here, so that a fault in the reader of `reidclip plugins check` cannot hide one in the papers.
    coded = {
        (int(n), f"eq{n}{rest}") for n, rest in re.findall(r"^def eq(\d+)(\w+)\(", (folder / "equations.py").read_text(), re.MULTILINE)
    }
    rows = re.findall(r"^\| \((\d+)\) \|.*\|(.*)\|$", (folder / "PAPER.md").read_text(), re.MULTILINE)
    told = {(int(number), name) for number, cell in rows for name in re.findall(r"`(eq\d+\w+)`", cell)}
    assert len(coded) > 5
    assert told == coded
    assert mismatches(folder) == []
    assert {(e.number, e.function) for e in equations(folder)} == coded


@every_folder
def test_numbers_run_through(folder: Path) -> None:
    numbers = [row.number for row in paper_rows(folder)]
    assert numbers == list(range(1, len(numbers) + 1)), "PAPER.md tells of every equation once, in order, coded or not"


@every_folder
def test_docstrings_name_their_equation(folder: Path) -> None:
    for node in ast.parse((folder / "equations.py").read_text()).body:
        if isinstance(node, ast.FunctionDef) and (match := re.match(r"eq(\d+)_", node.name)):
            assert (ast.get_docstring(node) or "").startswith(f"Eq. ({int(match[1])})"), node.name


@every_folder
def test_paper_is_pinned(folder: Path) -> None:
    text = (folder / "PAPER.md").read_text()
    version, pages = r"arXiv \d{4}\.\d{5}\*\*v\d+\*\*", r"CVPR \d{4}, pp\. \d+-\d+"  # of a preprint, or of proceedings
    assert re.search(f"{version}|{pages}", text), "numbers belong to one version of one paper"
    assert "|" in published_results(folder)


def _folder(root: Path, code: str, paper: str | None) -> Path:
    (root / "equations.py").write_text(code)
    if paper is not None:
        (root / "PAPER.md").write_text(paper)
    return root


TABLE = "| number | symbol | function |\n|---|---|---|\n"


@pytest.mark.parametrize(
    ("code", "paper", "problem"),
    [
        ('def eq01_a():\n    """Eq. (1), a."""\n', None, "has no PAPER.md beside it"),
        ('def eq01_a():\n    """Eq. (1), a."""\n', TABLE, "no row (1) for eq01_a"),
        ('def eq01_a():\n    """Eq. (1), a."""\n', TABLE + "| (2) | a | `eq01_a` |\n", "no row (1) for eq01_a"),
        ("", TABLE + "| (1) | a | `eq01_a` |\n", "names eq01_a, which equations.py does not define"),
        ('def eq01_a():\n    """A loss."""\n', TABLE + "| (1) | a | `eq01_a` |\n", "does not start with 'Eq. (1)'"),
        ("def eq01_a():\n    return 1\n", TABLE + "| (1) | a | `eq01_a` |\n", "eq01_a has no docstring"),
    ],
)
def test_disagreements_are_found(tmp_path: Path, code: str, paper: str | None, problem: str) -> None:
    assert any(problem in line for line in mismatches(_folder(tmp_path, code, paper)))


def test_a_shared_formula_may_be_given_its_number(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "import losses\n\neq06_triplet = losses.triplet\n", TABLE + "| (6) | L_tri | `eq06_triplet` |\n")
    assert mismatches(folder) == []
    assert [(e.number, e.line, e.summary) for e in equations(folder)] == [(6, 3, "Eq. (6): losses.triplet")]


def test_no_document_has_an_unfilled_place() -> None:
    root = Path(__file__).resolve().parents[2]
    documents = [root / "README.md", root / "CHANGELOG.md", *root.glob("plugins/**/*.md"), *root.glob("examples/**/*.md")]
    assert len(documents) >= 6
    assert [str(d) for d in documents if "@@" in d.read_text(encoding="utf-8")] == []
