"""Where a CLIP comes from: reads the spec given as ``--clip`` and finds configuration and weights.

===========================================  ===============================================================================
``reidclip-tiny``                            the small CLIP inside the package
``ViT-B-16:openai``                          open_clip's architecture and pretrained tag; fetched when not yet on this machine
``weights.safetensors`` (.pt, .pth, .bin)    a file; configuration from ``weights.json`` or ``open_clip_config.json`` beside it,
                                             else recognised from the weights' shapes
``weights.safetensors::ViT-B-16-quickgelu``  a file, its architecture named
``random:ViT-B-16`` (``@7`` for seed 7)      random weights; ``random:config.json`` reads a configuration file
``resnet50:imagenet``, ``resnet50:FILE``     an image encoder without text, see `reidclip.clip.trunk_source`
``timm:NAME``, ``timm:NAME:FILE``            a network of timm's, likewise without text, see `reidclip.clip.timm_source`
``blip:FOLDER``, ``random:blip``             BLIP's two encoders, see `reidclip.clip.blip_source`
===========================================  ===============================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from reidclip.clip import published, trunk_source
from reidclip.clip.published import TINY
from reidclip.clip.recognise import recognise
from reidclip.clip.supported import check_supported
from reidclip.clip.weights import SUFFIXES, read_weights
from reidclip.errors import UserError

_OPEN_CLIP_CACHE = Path("~/.cache/clip")  # where open_clip puts what it fetches by address
_WEIGHTS_FOLDER = Path(__file__).resolve().parents[1] / "weights"


@dataclass(frozen=True)
class Source:
    """A CLIP before it is built.

    Attributes:
        name: architecture or model name, for people.
        model: open_clip's model configuration; or, of an encoder that is not CLIP's, ``trunk``.
        preprocess: open_clip's preprocessing configuration (``mean``, ``std``, ``interpolation``), as far as known.
        state: weights by open_clip's names; None for random ones.
        seed: of the random weights.
        card: model card facts that came with the weights.
        folder: of the file that was given, where a tokenizer may lie too.
    """

    name: str
    model: Mapping[str, Any]
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    state: dict[str, Tensor] | None = None
    seed: int = 0
    card: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def find(spec: str) -> Source:
    """Resolve a spec (see the module's table).

    Raises:
        UserError: unknown name or tag (with the nearest), a file that is missing or does not fit, or weights that cannot be fetched.
    """
    if spec == TINY:
        return _embedded()
    if _is_blip(spec):
        from reidclip.clip.blip_source import find_blip  # it makes a Source, so it comes after this module

        return find_blip(spec)
    if trunk_source.is_timm(spec):
        from reidclip.clip.timm_source import find_timm  # likewise

        return find_timm(spec)
    if spec.startswith("random:"):
        return _random(spec.removeprefix("random:"))
    if trunk_source.is_trunk(spec):
        return Source(spec.partition(":")[0], trunk_source.trunk_model(), state=trunk_source.trunk_weights(spec))
    if "::" in spec:
        path, _, arch = spec.rpartition("::")
        return Source(arch, published.known_config(arch), state=read_weights(Path(path)), folder=Path(path).parent)
    if spec.endswith(SUFFIXES) or Path(spec).is_dir():
        return _from_file(Path(spec))
    arch, colon, tag = published.arch_and_tag(spec)
    if not colon:
        published.known_config(arch)
        tags = ", ".join(published.tags_of(arch)) or "none"
        raise UserError(
            f"'{spec}' names an architecture but no weights.",
            f"Add a tag ({arch}:TAG, known: {tags}), give a file (PATH::{arch}), or ask for random weights (random:{arch}).",
        )
    return _pretrained(arch, tag)


def on_this_machine(spec: str) -> bool:
    """Whether the weights of a spec lie on this machine, without reading them or asking the network.

    Raises:
        UserError: no such architecture or tag.
    """
    if spec == TINY or spec.startswith("random:"):
        return True
    if _is_blip(spec):
        return Path(spec.partition(":")[2]).is_dir()
    if trunk_source.is_timm(spec):
        from reidclip.clip import timm_source

        return timm_source.on_this_machine(spec)
    if trunk_source.is_trunk(spec):
        return trunk_source.on_this_machine(spec)
    if "::" in spec or spec.endswith(SUFFIXES) or Path(spec).is_dir():
        return Path(spec.rpartition("::")[0] or spec).exists()
    arch, colon, tag = published.arch_and_tag(spec)
    if not colon:
        return True  # `find` says what is missing
    published.known_config(arch)
    facts = published.facts_of_tag(arch, tag)
    return published.cached(facts) is not None or (_OPEN_CLIP_CACHE.expanduser() / Path(str(facts.get("url", "-"))).name).is_file()


def weights_file(spec: str) -> Path | None:
    """The file or folder of weights that a spec names; None where it names a published model, or random weights. Nothing is looked up.

    Whoever reads the spec of another run cannot ask for the file: its path may be relative, or of another machine.
    """
    if spec == TINY or spec.startswith("random:"):
        return None
    if trunk_source.is_timm(spec):
        _, _, file = spec.removeprefix("timm:").partition(":")
        return Path(file) if file else None
    if _is_blip(spec) or trunk_source.is_trunk(spec):
        _, _, what = spec.partition(":")
        return None if what in ("", trunk_source.IMAGENET) else Path(what)
    named = "::" not in spec and not spec.endswith(SUFFIXES) and published.is_known(published.arch_and_tag(spec)[0])
    return None if named else Path(spec.rpartition("::")[0] or spec)


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """A configuration file: ``model_cfg``, ``preprocess_cfg``, ``card``; a bare model configuration is accepted too.

    Raises:
        UserError: not JSON, or no model configuration.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.", "Give open_clip's model configuration.") from error
    if isinstance(document, dict) and "embed_dim" in document:
        document = {"model_cfg": document}
    model = document.get("model_cfg") if isinstance(document, dict) else None
    if not isinstance(model, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= set(model):
        raise UserError(f"{path} holds no model configuration.", "It needs embed_dim, vision_cfg and text_cfg, as in open_clip.")
    check_supported(str(path), model)
    return dict(document)


def _is_blip(spec: str) -> bool:
    return re.split("[:@]", spec.removeprefix("random:"))[0] == "blip"


def _embedded() -> Source:
    weights = _WEIGHTS_FOLDER / f"{TINY}.safetensors"
    if not weights.is_file():
        raise UserError(
            f"{TINY} is not in this installation ({weights} is missing).", "Install reidclip again, or give another CLIP with --clip."
        )
    document = read_sidecar(weights.with_suffix(".json"))
    return _with_weights(TINY, document, weights)


def _from_file(path: Path) -> Source:
    if path.is_dir():
        found = [path / f"open_clip_model{suffix}" for suffix in SUFFIXES] + [path / "open_clip_pytorch_model.bin"]
        weights = next((f for f in found if f.is_file()), None)
        if weights is None:
            raise UserError(f"{path} is a folder without open_clip weights.", "Give the file with the weights.")
        path = weights
    state = read_weights(path)  # a missing or broken file is told before a missing configuration
    for sidecar in (path.with_suffix(".json"), path.parent / "open_clip_config.json"):
        if sidecar.is_file():
            document = read_sidecar(sidecar)
            card = document.get("card", {})
            return Source(path.stem, document["model_cfg"], document.get("preprocess_cfg", {}), state, card=card, folder=path.parent)
    name = recognise(path, state)
    return Source(name, published.known_config(name), state=state, folder=path.parent)


def _with_weights(name: str, document: Mapping[str, Any], path: Path) -> Source:
    return Source(name, document["model_cfg"], document.get("preprocess_cfg", {}), read_weights(path), card=document.get("card", {}))


def _random(text: str) -> Source:
    arch, _, seed = text.partition("@")
    if seed and not seed.isdigit():
        raise UserError(f"'random:{text}': the seed after @ is not a number.", "Write for example random:ViT-B-16@7.")
    if trunk_source.is_trunk(arch):
        return Source(arch, trunk_source.trunk_model(), seed=int(seed or 0))
    if arch.endswith(".json"):
        document = read_sidecar(Path(arch))
        preprocess = document.get("preprocess_cfg", {})
        return Source(Path(arch).stem, document["model_cfg"], preprocess, seed=int(seed or 0), folder=Path(arch).parent)
    return Source(arch, published.known_config(arch), seed=int(seed or 0))


def _pretrained(arch: str, tag: str) -> Source:
    name = f"{arch}:{tag}"
    config = dict(published.known_config(arch))
    facts = published.facts_of_tag(arch, tag)
    if facts.get("quick_gelu"):  # OpenAI's weights, and some others, were trained with this activation
        config["quick_gelu"] = True
        arch = arch if arch.endswith("-quickgelu") else f"{arch}-quickgelu"
    preprocess = {key: facts[key] for key in ("mean", "std", "interpolation") if key in facts}
    path = published.fetch(name, arch, facts)
    return Source(arch, config, preprocess, read_weights(path), folder=path.parent)
