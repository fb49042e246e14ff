"""From a reference to a folder, or to an error that names the nearest one."""

from __future__ import annotations

import os
from pathlib import Path

from reidclip.artifacts import kinds
from reidclip.artifacts.manifest import MANIFEST
from reidclip.artifacts.names import Reference, parse_reference, version_of
from reidclip.errors import UserError, nearest


def folders(parent: Path) -> list[Path]:
    """Visible folders, sorted; empty when there is no such parent."""
    try:
        with os.scandir(parent) as entries:
            return sorted(parent / e.name for e in entries if not e.name.startswith(".") and e.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def version_folders(name_folder: Path) -> list[Path]:
    """Version folders of one artifact name, oldest first."""
    numbered = [(version_of(path.name), path) for path in folders(name_folder)]
    return [path for version, path in sorted((v, p) for v, p in numbered if v is not None)]


def find(root: Path, ref: str, kind: str | None) -> Path:
    """The folder of an artifact.

    Args:
        root: the store.
        ref: reference (``[kind/]name[@v3]``) or path of an artifact folder; the store is asked first.
        kind: the kind that is wanted, None for any.

    Raises:
        UserError: nothing fits, or several kinds do.
    """
    reference = parse_reference(ref)
    fitting = _in_store(root, reference, kind) if reference else []
    if len(fitting) > 1:
        version = f"@v{reference.version}" if reference and reference.version is not None else ""
        choice = ", ".join(f"{path.parent.parent.name}/{path.parent.name}{version}" for path in fitting)
        raise UserError(f"'{ref}' is the name of several artifacts in {root}.", f"Say which: {choice}.")
    if fitting:
        return fitting[0]
    if (Path(ref) / MANIFEST).is_file():
        return Path(ref)
    raise _nothing(root, ref, reference, kind)


def find_version(root: Path, ref: str) -> Path:
    """Like `find`, for what cannot be undone: the reference has to name the version, or be the path of one.

    Raises:
        UserError: nothing fits, several kinds do, or the version is left out (it names those that there are).
    """
    path = find(root, ref, None)
    reference = parse_reference(ref)
    if reference is None or reference.version is not None or path.resolve() == Path(ref).resolve():
        return path
    title = f"{path.parent.parent.name}/{path.parent.name}"
    versions = [f"{title}@{short}" for short in _short([folder.name for folder in version_folders(path.parent)])]
    raise UserError(f"'{ref}' does not say which version of {title}.", f"Say which: {', '.join(versions)}.")


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _in_store(root: Path, reference: Reference, kind: str | None) -> list[Path]:
    if kind and reference.kind and kind != reference.kind:
        told = f"'{reference.kind}/{reference.name}' is {_article(reference.kind)} artifact, not {kind}."
        raise UserError(told, f"Name {_article(kind)} artifact.")
    wanted = reference.kind or kind
    found = []
    for kind_folder in [root / wanted] if wanted else folders(root):
        versions = version_folders(kind_folder / reference.name)
        if reference.version is not None:
            versions = [path for path in versions if version_of(path.name) == reference.version]
        found += versions[-1:]
    return found


def _nothing(root: Path, ref: str, reference: Reference | None, kind: str | None) -> UserError:
    wanted = kind or (reference.kind if reference else None)
    title = f"{wanted} artifact" if wanted else "artifact"
    if reference is None:
        return UserError(
            f"There is no {title} '{ref}': no folder with a {MANIFEST}.", "Write name, name@v3, or the path of an artifact folder."
        )
    known = {n.name: f for f in folders(root) if wanted in (None, f.name) for n in folders(f) if version_folders(n)}
    if reference.name in known:
        versions = [path.name for path in version_folders(known[reference.name] / reference.name)]
        return UserError(f"'{reference.name}' in {root} has no version {reference.version}.", f"It has: {', '.join(_short(versions))}.")
    if known:
        return UserError(f"There is no {title} '{reference.name}' in {root}.", nearest(reference.name, known))
    command = f"Make one with `{kinds.get(wanted).command}`" if wanted in kinds.names() else "Make one with `reidclip mask DATA`"
    return UserError(f"There is no {title} '{reference.name}' in {root}: it holds none.", f"{command}, or name another store with --store.")


def _short(entries: list[str]) -> list[str]:
    return [f"v{version_of(entry)}" for entry in entries]
