"""Files and lines that a data set's layout cannot read, as findings; verify goes on with the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from reidclip.data.faults import DataFaultsError, Fault
from reidclip.data.open import open_dataset
from reidclip.records import Dataset
from reidclip.stages.verify_report import Finding


def open_what_can_be_read(root: Path, layout: str | None) -> tuple[Dataset, list[Finding]]:
    """The data set without what does not fit (perhaps without any sample), and a finding per kind of fault.

    Raises:
        UserError, WorkError: as `open_dataset`, where nothing can be told of the rest.
    """
    try:
        return open_dataset(root, layout), []
    except DataFaultsError as error:
        return error.rest, fault_findings(error.faults)


def fault_findings(faults: Iterable[Fault]) -> list[Finding]:
    """One finding per kind and remedy, with all of its files, in the order of their first."""
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    for fault in faults:
        files[fault.kind, fault.remedy].append(fault.file)
    return [Finding("fault", "files", f"{kind}: {len(found):,}. {remedy}", tuple(found)) for (kind, remedy), found in files.items()]
