"""Whether the artifacts of a store can be read, and what lies there that nobody needs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from reidclip.artifacts import kinds
from reidclip.artifacts.store import Artifact, Scan, Store
from reidclip.counted import counted
from reidclip.errors import ReidclipError
from reidclip.stages.doctor_finding import Finding, size

Progress = Callable[[int, int], None]


def store(root: Path, verify: bool = False, progress: Progress | None = None) -> Iterator[Finding]:
    """Artifacts by kind, unreadable ones, and what killed processes left; with ``verify`` every payload file is read.

    Args:
        progress: told of the verification: artifacts done, in all.
    """
    if not root.exists():
        yield Finding("store", str(root), "absent", "nothing there yet; the first command that writes makes it")
        return
    try:
        opened = Store(root)
        found = opened.scan()
        yield from _kinds(found)
        yield from _unreadable(found)
        yield from _stale(opened)
        if not os.access(root, os.W_OK):
            yield Finding("store", str(root), "warning", "it cannot be written to", "Name another folder with --store (or REIDCLIP_STORE).")
        if verify:
            yield from _verified(found.artifacts, progress)
    except (ReidclipError, OSError) as error:
        yield Finding("store", str(root), "broken", str(error).splitlines()[0], getattr(error, "remedy", ""))


def _kinds(found: Scan) -> Iterator[Finding]:
    count: Counter[str] = Counter()
    bytes_: Counter[str] = Counter()
    for artifact in found.artifacts:
        count[artifact.kind] += 1
        bytes_[artifact.kind] += artifact.manifest.payload.bytes
    for kind in sorted(count, key=lambda k: (kinds.names().index(k) if k in kinds.names() else len(kinds.names()), k)):
        told = f"{counted(count[kind], 'artifact', 'artifacts')}, {size(bytes_[kind])}"
        yield Finding("store", kind, "ok", told, facts={"artifacts": count[kind], "bytes": bytes_[kind]})
    if not count and not found.unreadable:
        yield Finding("store", "artifacts", "ok", "empty")


def _unreadable(found: Scan) -> Iterator[Finding]:
    for broken in found.unreadable:
        ref = f"{broken.kind}/{broken.ref}"
        if broken.newer:
            yield Finding("store", ref, "warning", broken.problem, "Read it with the toolkit that wrote it, or a newer one.")
        else:
            yield Finding("store", ref, "broken", broken.problem, f"reidclip artifacts rm --force {ref}, then make it again.")


def _stale(opened: Store) -> Iterator[Finding]:
    left = opened.gc(dry_run=True)
    if left:
        told = f"{counted(len(left), 'folder', 'folders')} of killed processes or old unfinished work"
        yield Finding("store", "left behind", "warning", told, "reidclip artifacts gc", {"paths": [str(path) for path in left]})


def _verified(artifacts: list[Artifact], progress: Progress | None) -> Iterator[Finding]:
    whole = 0
    for number, artifact in enumerate(artifacts, start=1):
        problems = artifact.problems()
        whole += not problems
        if problems:
            ref = f"{artifact.kind}/{artifact.ref}"
            more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
            remedy = f"reidclip artifacts rm --force {ref}, then make it again."
            if artifact.misplaced():  # a copy: the artifact that its manifest names may be whole
                remedy = f"Delete the folder {artifact.path}, or copy it again."
            yield Finding("store", ref, "broken", problems[0] + more, remedy, {"problems": problems})
        if progress:
            progress(number, len(artifacts))
    yield Finding("store", "verified", "ok", f"{whole} of {counted(len(artifacts), 'artifact', 'artifacts')} whole, every file read")
