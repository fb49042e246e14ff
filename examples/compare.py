"""Print evaluations side by side: python examples/compare.py STORE [NAME ...]. Rows in the order given, else oldest first."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from reidclip.artifacts.store import Artifact, Store

PROTOCOLS = ("same-clothes", "cloth-changing")


def main() -> None:
    store = Store(Path(sys.argv[1]))
    names = sys.argv[2:]
    found = [store.open(name, kind="evaluation") for name in names] or sorted(store.list("evaluation"), key=lambda a: a.manifest.created)
    table = Table(box=box.SIMPLE_HEAD, caption="percent; brackets: bootstrap 95% interval over queries", caption_justify="left")
    table.add_column("evaluation", no_wrap=True)
    for protocol in PROTOCOLS:
        for metric in ("R1", "mAP"):
            table.add_column(f"{protocol}\n{metric}", justify="right")
    for artifact in found:
        table.add_row(artifact.name, *(_cell(artifact, protocol, metric) for protocol in PROTOCOLS for metric in ("R1", "mAP")))
    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(table)


def _cell(artifact: Artifact, protocol: str, metric: str) -> str:
    result = json.loads(artifact.file("metrics.json").read_text(encoding="utf-8")).get(protocol)
    if result is None:
        return "-"
    low, high = result[f"{metric}_interval"]
    return f"{100 * result[metric]:.1f} \\[{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    main()
