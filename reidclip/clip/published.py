"""open_clip's architectures and their published weights, by name and tag."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reidclip.clip import hub
from reidclip.clip.supported import check_supported, supported_names
from reidclip.errors import UserError, nearest

TINY = "reidclip-tiny"
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")


def is_known(arch: str) -> bool:
    """Whether open_clip has an architecture of this name."""
    import open_clip  # inside functions, here and below: checkpoints without text are evaluated where it is not installed

    return arch in open_clip.list_models()


def known_config(arch: str) -> Mapping[str, Any]:
    """open_clip's model configuration of an architecture.

    Raises:
        UserError: it has none of this name, or one that cannot be used here.
    """
    import open_clip

    config = open_clip.get_model_config(arch) if is_known(arch) else None
    if config is None:
        raise UserError(f"There is no CLIP architecture or file '{arch}'.", nearest(arch, [TINY, *supported_names()]))
    check_supported(arch, config)
    return dict(config)


def arch_and_tag(spec: str) -> tuple[str, str, str]:
    """``ViT-B/16:openai`` -> ("ViT-B-16", ":", "openai"); the last two empty without a tag."""
    return spec.replace("ViT-B/", "ViT-B-").replace("ViT-L/", "ViT-L-").partition(":")


def tags_of(arch: str) -> list[str]:
    """Pretrained tags of an architecture."""
    import open_clip

    return list(open_clip.list_pretrained_tags_by_model(arch))


def facts_of_tag(arch: str, tag: str) -> Mapping[str, Any]:
    """open_clip's facts of published weights: where they are, how pictures were normalised.

    Raises:
        UserError: no such tag.
    """
    import open_clip

    facts: Mapping[str, Any] = open_clip.get_pretrained_cfg(arch, tag)
    if not facts:
        raise UserError(f"'{arch}' has no pretrained tag '{tag}'.", nearest(tag, tags_of(arch)))
    return facts


def fetch(name: str, arch: str, facts: Mapping[str, Any]) -> Path:
    """The file of published weights, from an earlier run or the network.

    Raises:
        UserError: it cannot be fetched.
    """
    import open_clip

    try:
        return _from_hub_cache(facts) or Path(open_clip.download_pretrained(dict(facts)))
    except Exception as error:  # open_clip, huggingface_hub and urllib each raise their own kinds
        repository = facts.get("hf_hub", "").rstrip("/")
        page = f"https://huggingface.co/{repository}" if repository else facts.get("url", "")
        reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition("Last error: ")[2].partition(". ")[0].rstrip(".")
        raise UserError(
            f"{name} is not on this machine and cannot be fetched ({reason}).",
            f"Download open_clip_model.safetensors from {page} where there is a network, and give it as --clip PATH::{arch}.",
        ) from error


def _from_hub_cache(facts: Mapping[str, Any]) -> Path | None:
    """The file that an earlier run fetched, without asking the network; None when there is none and the hub answers.

    Where there is no network, what the question raises is the caller's error.
    """
    repository, _, _ = facts.get("hf_hub", "").rpartition("/")
    found = cached(facts)
    if repository and found is None:
        hub.ask(repository)
    return found


def cached(facts: Mapping[str, Any]) -> Path | None:
    """The file in the hub's cache."""
    repository, _, file = facts.get("hf_hub", "").rpartition("/")
    return hub.cached_file(repository, (file,) if file else _HUB_FILES)
