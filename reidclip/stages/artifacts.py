"""What `reidclip artifacts` does beyond single calls of the store, callable from Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reidclip.artifacts.find import version_folders
from reidclip.artifacts.names import parse_reference
from reidclip.artifacts.store import Artifact, Store
from reidclip.errors import ReidclipError, UserError, WorkError
from reidclip.gallery.discarding import discard, discard_unfinished
from reidclip.stages.choose import Say


@dataclass(frozen=True, slots=True)
class Verified:
    """Outcome of the verification of one artifact; it is whole when there are no problems."""

    kind: str
    ref: str
    path: Path
    problems: list[str]


def verify(store: Store, ref: str | None = None) -> list[Verified]:
    """Verify one artifact, or all of a store; one whose manifest cannot be read is a problem, not an exception.

    Raises:
        UserError: ``ref`` names nothing.
    """
    if ref is not None:
        path = store.locate(ref)
        try:
            return [_verified(store, Artifact.load(path))]
        except ReidclipError as error:
            return [Verified(path.parent.parent.name, ref, path, [error.what])]
    found = store.scan()
    broken = [Verified(b.kind, b.ref, b.path, [b.problem]) for b in found.unreadable]
    return [_verified(store, artifact) for artifact in found.artifacts] + broken


def remove(store: Store, ref: str, force: bool = False, say: Say = lambda text: None) -> Path:
    """Remove one version, damaged or not; return the path that it had. One of a newer toolkit needs ``force``.

    What an index has in a database goes with it.

    Raises:
        UserError: the reference fits nothing, fits several versions, or is an input of another artifact (unless ``force``).
        WorkError: the database of an index does not answer (with ``force`` that is told, and the index removed all the same).
    """
    path = store.locate(ref)
    reference = parse_reference(ref)
    versions = version_folders(path.parent)
    if reference and reference.version is None and len(versions) > 1 and path.resolve() != Path(ref).resolve():
        raise UserError(f"'{ref}' has {len(versions)} versions, up to {path.name}.", f"Say which, for example {ref}@v{int(path.name[1:])}.")
    target: Artifact | Path = path
    try:
        target = Artifact.load(path)
    except UserError:  # made by a newer toolkit: nobody here can tell what it is worth
        if not force:
            raise
    except ReidclipError:  # damaged: its folder is all there is to name
        pass
    store.remove(target, force, before=(lambda folder: _discard(folder, force, say)) if path.parent.parent.name == "index" else _nothing)
    return path


def gc(store: Store, days: float, dry_run: bool, say: Say = lambda text: None) -> list[Path]:
    """`Store.gc`; what killed builds of an index left in a database goes too."""
    if not dry_run:
        discard_unfinished(store, None, say, days)
    return store.gc(days, dry_run)


def _nothing(folder: Path) -> None:
    return None


def _discard(folder: Path, force: bool, say: Say) -> None:
    try:
        discard(folder)
    except (ReidclipError, ImportError) as error:
        what = str(getattr(error, "what", error))
        if not force:
            raise WorkError(
                f"{what.rstrip('.')}: the vectors of this index cannot be removed there.",
                "Start the database, or remove the index with --force, and its vectors stay.",
            ) from error
        say(f"note: the vectors of this index stay in its database: {what}")


def _verified(store: Store, artifact: Artifact) -> Verified:
    return Verified(artifact.kind, artifact.ref, artifact.path, store.verify(artifact))
