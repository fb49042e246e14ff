"""Where an image encoder that is not CLIP's comes from: what ``--clip resnet50:...`` names.

========================  ==================================================================================================
``resnet50:FILE``         torchvision's or timm's ResNet-50 (.pth, .pt, .bin, .safetensors); its classifier is left out
``resnet50:imagenet``     torchvision's IMAGENET1K_V1, which CAL starts from; fetched when not yet on this machine
``random:resnet50``       random weights (``@7`` for seed 7)
========================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor
from torchvision.models import ResNet50_Weights, resnet50

from reidclip.clip.trunk import RESNET50
from reidclip.clip.weights import check_finite, copied, read_tensors
from reidclip.errors import UserError

IMAGENET = "imagenet"
_PUBLISHED = ResNet50_Weights.IMAGENET1K_V1
_MODEL = {"trunk": RESNET50}
_HEAD = "fc."  # the classifier, of torchvision and timm alike


def is_trunk(spec: str) -> bool:
    """Whether a spec names such an encoder."""
    return spec.removeprefix("random:").partition(":")[0].partition("@")[0] == RESNET50


def is_timm(spec: str) -> bool:
    """Whether a spec names a network of timm's (`reidclip.clip.timm_source`)."""
    return spec.removeprefix("random:").startswith("timm:")


def is_without_text(spec: str) -> bool:
    """Whether a spec names an image encoder without text."""
    return is_trunk(spec) or is_timm(spec)


def trunk_weights(spec: str) -> dict[str, Tensor]:
    """Weights of ``resnet50:FILE`` or ``resnet50:imagenet`` by torchvision's names, without the classifier.

    Raises:
        UserError: no weights named; a file that is missing, broken or another network's; or weights that cannot be fetched.
    """
    _, _, what = spec.partition(":")
    if not what:
        raise UserError(
            f"'{spec}' names an architecture but no weights.",
            f"Give a file ({RESNET50}:FILE), ImageNet's weights ({RESNET50}:{IMAGENET}), or ask for random ones (random:{RESNET50}).",
        )
    path = _fetched() if what == IMAGENET else Path(what)
    tensors = {key.removeprefix("module."): value for key, value in read_tensors(path).items()}
    state = _checked(path, {key: value for key, value in tensors.items() if not key.startswith(_HEAD)})
    check_finite(state, path)
    return copied(state)


def on_this_machine(spec: str) -> bool:
    """Whether the weights of a spec lie on this machine; nothing is read or fetched."""
    _, _, what = spec.partition(":")
    return spec.startswith("random:") or not what or (_cache_file() if what == IMAGENET else Path(what)).is_file()


def trunk_model() -> Mapping[str, str]:
    """What a source has in place of open_clip's model configuration."""
    return dict(_MODEL)


def _checked(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with the counters that old files lack.

    Raises:
        UserError: weights are missing, left over, or of another shape; says what the file looks like where that is known.
    """
    with torch.device("meta"):
        wanted = {key: value for key, value in resnet50().state_dict().items() if not key.startswith(_HEAD)}
    counters = {key: torch.tensor(0) for key in wanted if key.endswith("num_batches_tracked")}
    full = {**counters, **state}
    wrong = [
        f"{key} is {tuple(full[key].shape)}, not {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in full and full[key].shape != value.shape
    ]
    wrong += [f"{key} is missing" for key in wanted if key not in full] + [f"{key} is not part of it" for key in full if key not in wanted]
    if not wrong:
        return full
    if "base.0.weight" in state:
        raise UserError(
            f"{path} is a Simple-CCReID checkpoint, not the ImageNet weights that one starts from.", f"Import it: reidclip import {path}."
        )
    if "visual.conv1.weight" in state:
        raise UserError(f"{path} is a CLIP, not a ResNet-50 of ImageNet.", f"Give it without {RESNET50}: in front: --clip {path}.")
    raise UserError(
        f"The weights of {path} are not those of torchvision's or timm's ResNet-50 ({wrong[0]}; {len(wrong)} differences).",
        f"Give a file of torchvision.models.resnet50 or timm's resnet50, or {RESNET50}:{IMAGENET}.",
    )


def _cache_file() -> Path:
    """Where torchvision keeps what it fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(_PUBLISHED.url).path).name


def _fetched() -> Path:
    path = _cache_file()
    if not path.is_file():
        digest = path.stem.rpartition("-")[2]  # the name ends in the first digits of the file's SHA-256
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(_PUBLISHED.url, str(path), hash_prefix=digest, progress=False)
        except (OSError, RuntimeError, ValueError) as error:  # no network, a full disk, another digest, a proxy's answer
            raise UserError(
                f"{RESNET50}:{IMAGENET} is not on this machine and cannot be fetched ({error}).",
                f"Download {_PUBLISHED.url} where there is a network, and put it at {path}, or give it as --clip {RESNET50}:FILE.",
            ) from error
    return path
