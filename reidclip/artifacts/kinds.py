"""The kinds of artifacts as a table: what each is, and which payload files it must hold.

A plugin or a later command adds a kind by calling `register`; the store needs no other change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from reidclip.artifacts.names import check_name
from reidclip.errors import UserError, nearest


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of artifact.

    Attributes:
        name: folder name in the store, and the word used in messages.
        title: one line for people.
        command: the command that makes it, named in remedies.
        requires: patterns over payload paths (POSIX, relative; ``*`` also matches ``/``); each must match at least one file.
    """

    name: str
    title: str
    command: str
    requires: tuple[str, ...]


_KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Add a kind.

    Raises:
        UserError: the name is not valid, or another kind has it already.
    """
    check_name(kind.name, "artifact kind")
    if _KINDS.setdefault(kind.name, kind) != kind:
        raise UserError(f"There already is an artifact kind '{kind.name}'.", "Give the new kind another name.")
    return kind


def get(name: str) -> Kind:
    """The kind of that name.

    Raises:
        UserError: there is none (with the nearest one).
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise UserError(f"There is no artifact kind '{name}'.", nearest(name, _KINDS))
    return kind


def names() -> tuple[str, ...]:
    """All kinds in the order of the pipeline."""
    return tuple(_KINDS)


def lacking(kind: Kind, paths: Iterable[str]) -> list[str]:
    """Patterns of ``kind.requires`` that no payload path matches."""
    paths = tuple(paths)
    return [pattern for pattern in kind.requires if not any(fnmatchcase(path, pattern) for path in paths)]


register(Kind("parsing", "human-parsing label maps, one indexed PNG per picture", "reidclip parse", ("*.png",)))
register(Kind("masks", "cloth-shielding masks, one PNG per picture", "reidclip mask", ("*.png",)))
register(Kind("prompts", "learned prompt contexts and text features", "reidclip prompt-learn", ("prompts.safetensors",)))
register(
    Kind(
        "descriptions",
        "linguistic labels: phrases that a CLIP chooses for every picture, and its features",
        "reidclip distill --label-only",
        ("descriptions.safetensors",),
    )
)
register(Kind("checkpoint", "fine-tuned image encoder", "reidclip finetune", ("*.safetensors",)))
register(Kind("evaluation", "metrics, per-query ranks and features", "reidclip evaluate", ("metrics.json",)))
register(Kind("export", "encoder in another runtime's format, verified", "reidclip export", ("export.json", "report.json")))
register(
    Kind(
        "vectors",
        "vectors of pictures or crops, and what they are of",
        "reidclip extract",
        ("vectors.safetensors", "items.csv", "vectors.json"),
    )
)
register(Kind("index", "gallery index", "reidclip index build", ("index.json",)))
register(Kind("report", "evaluations as one page", "reidclip report", ("report.html",)))
