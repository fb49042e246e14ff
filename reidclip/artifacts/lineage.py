"""What an artifact was made from, back to the data; and what was made from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from reidclip.artifacts.artifact import Artifact
from reidclip.artifacts.manifest import InputRef

State = Literal["ok", "missing", "changed"]


@dataclass(frozen=True)
class LineageNode:
    """One artifact in a lineage tree.

    Attributes:
        role: what the artifact above used it for; "" at the root.
        state: "ok": found by its digest; "changed": something else lies under its reference now; "missing": neither.
        artifact: the artifact found by digest, else None.
        inputs: what it was made from; empty unless the state is "ok".
    """

    kind: str
    ref: str
    digest: str
    role: str
    state: State
    artifact: Artifact | None
    inputs: tuple[LineageNode, ...] = ()


def trace(artifact: Artifact, store: Sequence[Artifact], unreadable: Iterable[tuple[str, str]] = ()) -> LineageNode:
    """The tree of inputs. An input is what its digest says, not its name: a copy under another name is the same input.

    Args:
        artifact: the root of the tree.
        store: all readable artifacts.
        unreadable: (kind, ref) of artifacts whose manifest is damaged, which count as changed.
    """
    by_digest = {a.digest: a for a in store}
    places = {(a.kind, a.ref) for a in store} | set(unreadable)

    # A digest covers the digests of the inputs, so the tree is finite.
    def node(kind: str, ref: str, digest: str, role: str, found: Artifact | None) -> LineageNode:
        if found is None:
            return LineageNode(kind, ref, digest, role, "changed" if (kind, ref) in places else "missing", None)
        below = tuple(node(i.kind, i.ref, i.digest, i.role, by_digest.get(i.digest)) for i in found.manifest.inputs)
        return LineageNode(found.kind, found.ref, digest, role, "ok", found, below)

    return node(artifact.kind, artifact.ref, artifact.digest, "", artifact)


def uses(manifest_inputs: Iterable[InputRef], kind: str, ref: str, digest: str | None) -> bool:
    """Whether one of the inputs is this artifact, by digest or by reference."""
    return any(i.digest == digest or (i.kind, i.ref) == (kind, ref) for i in manifest_inputs)
