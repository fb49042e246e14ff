"""``reidclip import`` as a function: weights of another program become a ``checkpoint`` artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidclip.artifacts.manifest import printable
from reidclip.artifacts.names import safe_name
from reidclip.artifacts.payload import hash_file
from reidclip.artifacts.store import Artifact, Store
from reidclip.errors import UserError, nearest
from reidclip.importers import clipreid, plain_clip, schp, simple_ccreid
from reidclip.importers.content import Content, read_content
from reidclip.importers.imported import Imported
from reidclip.importers.options import ImportOptions
from reidclip.importers.recognise import CLIP, CLIPREID, SCHP, SIMPLE_CCREID, names, recognise

COMMAND = "import"
AUTO = "auto"

_READERS: Mapping[str, Callable[[Content, ImportOptions], Imported]] = {
    CLIPREID: clipreid.read,
    SCHP: schp.read,
    SIMPLE_CCREID: simple_ccreid.read,
}


@dataclass(frozen=True)
class ImportJob:
    """An import that was read and checked; nothing is written yet.

    Attributes:
        source: the file.
        sha256, size: of the file, size in bytes.
        imported: what it holds.
        name: of the artifact that is written.
    """

    source: Path
    sha256: str
    size: int
    imported: Imported
    store: Store
    name: str

    def plan(self) -> dict[str, Any]:
        """What is known, for --dry-run and the manifest."""
        return {
            "command": COMMAND,
            "source": {"file": printable(self.source.name), "sha256": self.sha256, "bytes": self.size},
            "kind": self.imported.kind,
            "holds": self.imported.holds,
            **self.imported.facts,
            "notes": list(self.imported.notes),
            "writes": f"checkpoint/{self.name}",
        }


def plan_import(
    source: Path | str, store: Store, *, kind: str = AUTO, name: str | None = None, options: ImportOptions | None = None
) -> ImportJob:
    """Read a file, recognise what it is and build it.

    Args:
        source: the file; of a CLIP also ``FILE::ARCH``.
        kind: one of `reidclip.importers.recognise.names`, or "auto".
        name: of the artifact; None makes it from kind and file.
        options: what the file does not say.

    Raises:
        UserError: no such kind; or the file holds something else, says what it looks like.
    """
    if kind not in (AUTO, *names()):
        raise UserError(f"There is no kind '{kind}' of weights.", nearest(kind, (AUTO, *names())))
    file, _, arch = str(source).partition("::")
    content = read_content(Path(file))
    found = recognise(content, None if kind == AUTO else kind)
    if arch and found != CLIP:
        raise UserError(f"'::{arch}' names the architecture of a CLIP; {file} is none.", f"Leave it out: {file}.")
    chosen = options or ImportOptions()
    imported = plain_clip.read(content, chosen, arch or None) if found == CLIP else _READERS[found](content, chosen)
    hashed = hash_file(content.path)
    stem = content.path.name.partition(".")[0] or content.path.name
    return ImportJob(content.path, hashed.sha256, hashed.size, imported, store, name or safe_name(f"{found}-{stem}"))


def import_checkpoint(job: ImportJob) -> Artifact:
    """Write what was read as a ``checkpoint`` artifact."""
    with job.store.create("checkpoint", job.name) as draft:
        job.imported.write(draft.path)
        draft.describe(config=job.plan(), method=job.imported.method, notes=job.imported.notes)
    return draft.artifact
