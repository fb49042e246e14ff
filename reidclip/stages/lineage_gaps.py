"""What lineage cannot say of a checkpoint: inputs that are gone, and weights that came as a file."""

from __future__ import annotations

from collections.abc import Iterator

from reidclip.artifacts.lineage import LineageNode
from reidclip.clip.sources import weights_file


def gaps(tree: LineageNode) -> tuple[str, ...]:
    """One sentence per part of a lineage of which nothing says what it was made from."""
    lost = [f"{what} is no longer in the store as it was, so nothing says whether it saw the targets" for what in _lost(tree)]
    by_clip: dict[str, list[str]] = {}
    for name, clip in _clips(tree):
        by_clip.setdefault(clip, []).append(name)
    began = [gap_of_clip(" and ".join(dict.fromkeys(names)), clip) for clip, names in by_clip.items()]
    return tuple(dict.fromkeys([*lost, *filter(None, began)]))


def gap_of_clip(name: str, clip: str) -> str:
    """The sentence on a CLIP from a file, by which ``name`` began; "" for a CLIP that has a name: published ones saw no target."""
    file = weights_file(clip)
    return f"{name} began with the weights in {file}, and nothing says whether those saw the targets" if file else ""


def _lost(node: LineageNode) -> Iterator[str]:
    if node.state != "ok":
        yield f"its {node.role} {node.ref}"
    for below in node.inputs:
        yield from _lost(below)


def _clips(node: LineageNode) -> Iterator[tuple[str, str]]:
    """(artifact, spec of a network that its training began with: a CLIP, or a student and the CLIP that taught it)."""
    settings = node.artifact.manifest.config.get("settings") if node.artifact else None
    taught_by_clip = not any(below.role == "teacher" for below in node.inputs)
    for key in ("clip", "student", *(["teacher"] if taught_by_clip else [])):
        spec = settings.get(key) if isinstance(settings, dict) else None
        if isinstance(spec, str):
            yield f"{node.kind} {node.ref}", spec
    for below in node.inputs:
        yield from _clips(below)
