"""Which weights are here: those inside the package, and those of the hub's cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reidclip import registry
from reidclip.stages.doctor_finding import Finding, size

_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_REINSTALL = "Install it anew: pip install --force-reinstall --no-deps reidclip"


def weights() -> Iterator[Finding]:
    """Bundled files with their digests, then CLIPs of the hub's cache."""
    recorded = _recorded()
    for path in _bundled():
        yield _of_file(path, recorded.get(path.resolve()))
    yield from _of_hub()


def _bundled() -> list[Path]:
    """Weights and bodies inside the package, and beside the bundled parsers."""
    package = Path(__file__).parents[1]
    folders = [package / "weights", package / "synth" / "assets"]
    for name in registry.names("reidclip.parsers"):
        found = registry.info("reidclip.parsers", name)
        if found.object is not None and found.distribution == registry.BUNDLED_DISTRIBUTION:
            spec = find_spec(found.target.partition(":")[0])
            folders += [Path(spec.origin).parent / "weights"] if spec and spec.origin else []
    return [path for folder in folders for path in sorted(folder.glob("*")) if path.suffix in (".safetensors", ".npz")]


def _of_file(path: Path, recorded: str | None) -> Finding:
    content = path.read_bytes()
    digest = hashlib.sha256(content)
    facts: dict[str, Any] = {"path": str(path), "size": len(content), "sha256": digest.hexdigest()}
    told = f"{size(len(content))}, SHA-256 {digest.hexdigest()[:16]}"
    if recorded is not None and recorded != digest.hexdigest():
        return Finding("weights", path.stem, "broken", f"{told}: not the file that was installed", _REINSTALL, facts)
    if path.suffix == ".safetensors" and not _is_whole(content):
        return Finding("weights", path.stem, "broken", f"{told}: cut off, or no safetensors file", _REINSTALL, facts)
    return Finding("weights", path.stem, "ok", f"{told}, bundled", facts=facts)


def _is_whole(content: bytes) -> bool:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return bool(load(content))
    except (SafetensorError, ValueError):
        return False


def _recorded() -> dict[Path, str]:
    """SHA-256 by path, of an installed wheel; an editable installation records none of its files."""
    import base64

    try:
        files = distribution("reidclip").files or ()
    except PackageNotFoundError:
        return {}
    named = {Path(str(file.locate())).resolve(): file.hash for file in files if file.suffix in (".safetensors", ".npz")}
    return {path: base64.urlsafe_b64decode(f"{h.value}==").hex() for path, h in named.items() if h is not None and h.mode == "sha256"}


def _of_hub() -> Iterator[Finding]:
    try:
        from huggingface_hub import constants
    except ImportError:
        return
    found = {
        folder.name.removeprefix("models--").replace("--", "/"): files
        for folder, files in _repositories(Path(constants.HF_HUB_CACHE))
        if files
    }
    tags = _tags() if found else {}
    for repository, files in found.items():
        bytes_ = sum(file.stat().st_size for file in files)
        names = tags.get(repository, [])
        told = f"{size(bytes_)} in the hub's cache" + (f": --clip {' or '.join(names[:3])}" if names else "")
        yield Finding("weights", repository, "ok", told, facts={"size": bytes_, "tags": names})
    if not found:
        told = "no CLIP in the hub's cache: --clip ViT-B-16:openai fetches one, where there is a network"
        yield Finding("weights", "hub", "absent", told)


def _repositories(cache: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Folders of models, and the weights of a CLIP in each; a link to a file that is gone is none."""
    for folder in sorted(cache.glob("models--*")):
        yield folder, [path for name in _HUB_FILES for path in sorted(folder.glob(f"snapshots/*/{name}"))[-1:] if path.is_file()]


def _tags() -> dict[str, list[str]]:
    """Repository -> names that --clip takes. Imports open_clip, which takes seconds: only where there is something to name."""
    try:
        import open_clip
    except Exception:  # told by `versions`; a broken package may raise anything
        return {}
    tags: dict[str, list[str]] = {}
    for arch, tag in open_clip.list_pretrained():
        repository = open_clip.get_pretrained_cfg(arch, tag).get("hf_hub", "").rpartition("/")[0]
        tags.setdefault(repository, []).append(f"{arch}:{tag}")
    return tags
