"""Where a network of timm's comes from: what ``--student timm:...`` (or ``--clip``) names.

==============================  ============================================================================================
``timm:NAME``                   timm's pretrained weights, a tag may follow (``timm:tiny_vit_21m_224.dist_in22k``); fetched
                                when not yet on this machine
``timm:NAME:FILE``              weights of this network (.safetensors, .pth, .pt, .bin) by timm's or the original names, or the
                                ``encoder.safetensors`` of a checkpoint of it
``random:timm:NAME``            random weights (``@7`` for seed 7)
==============================  ============================================================================================
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from reidclip.clip import hub
from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.geometry import Size
from reidclip.clip.sources import Source
from reidclip.clip.timm_net import build_net, known_name, native_size, net_facts
from reidclip.clip.timm_trunk import TIMM, TimmTrunk, facts_of, timm_trunk_config
from reidclip.clip.weights import check_finite, copied, read_tensors
from reidclip.errors import UserError, nearest

_FILES = ("model.safetensors", "pytorch_model.bin")
_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")  # as timm's modules call what renames old weights


def find_timm(spec: str) -> Source:
    """Resolve a spec of the module's table.

    Raises:
        UserError: unknown network or tag (with the nearest), a file that is missing or does not fit, or weights that cannot be fetched.
    """
    is_random, name, what = _parts(spec)
    arch = known_name(name).partition(".")[0]
    model = {"trunk": TIMM, "timm_model_name": arch}
    if is_random:
        if what and not what.isdigit():
            raise UserError(f"'{spec}': the seed after @ is not a number.", f"Write for example random:timm:{arch}@7.")
        return Source(arch, model, _preprocess(name), seed=int(what or 0))
    _check_tag(name)
    found = Path(what) if what else _cached(name)
    state = _fetched(name) if found is None else read_net(arch, found)
    return Source(arch, model, _preprocess(name), state)


def on_this_machine(spec: str) -> bool:
    """Whether the weights of a spec lie on this machine; nothing is read or fetched.

    Raises:
        UserError: unknown network.
    """
    is_random, name, what = _parts(spec)
    known_name(name)
    return is_random or (Path(what).is_file() if what else _cached(name) is not None)


def build_trunk(source: Source, image_size: Size, stride: int | None) -> TimmTrunk:
    """The encoder of a source of `find_timm`, positions brought to the picture's size as timm does; random weights from torch's generator.

    Raises:
        UserError: see `timm_trunk_config`; or weights that cannot be brought to this size.
    """
    name = source.model["timm_model_name"]
    config = timm_trunk_config(name, image_size, stride)
    if source.state is None:
        return TimmTrunk(config)
    with torch.device("meta"):  # built in memory, but not filled
        trunk = TimmTrunk(config)
    wanted = trunk.net.state_dict()
    # Counters and tables that have their size are taken as they are; positions of another one go through timm's own resizing.
    fitting = {key: value for key, value in source.state.items() if key in wanted and wanted[key].shape == value.shape}
    if len(fitting) < len(wanted):
        trunk = TimmTrunk(config, _resized(name, source.state, config))
    trunk.net.load_state_dict(fitting, strict=False)
    return trunk


def read_net(arch: str, path: Path) -> dict[str, Tensor]:
    """All weights of a network at its native size, head included, by timm's names; a head that the file lacks is zeros.

    Raises:
        UserError: the file is missing, broken, or another network's.
    """
    raw = _of_the_network({key.removeprefix("module."): value for key, value in read_tensors(path).items()})
    whole = _shapes(arch)
    wrong = _differences(arch, raw, whole)
    if wrong:
        renamed = _renamed(arch, raw)
        if renamed is None or _differences(arch, renamed, whole):
            raise UserError(
                f"The weights of {path} are not those of timm's '{arch}' ({wrong[0]}; {len(wrong)} differences).",
                f"Give a file of timm.create_model('{arch}'), or name the network that it is of: timm:NAME:{path}.",
            )
        raw = renamed
    check_finite(raw, path)
    fitting = copied({key: value for key, value in raw.items() if key in whole and value.shape == whole[key]})
    return {key: fitting[key] if key in fitting else torch.zeros(shape) for key, shape in whole.items()}


def _of_the_network(raw: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of a checkpoint's ``encoder.safetensors`` (of a student its backbone) the network's own weights; of other files all."""
    for prefix in ("image_encoder.net.", "image_encoder.backbone.net."):
        own = {key.removeprefix(prefix): value for key, value in raw.items() if key.startswith(prefix)}
        if own:
            return own
    return raw


def _parts(spec: str) -> tuple[bool, str, str]:
    """Whether weights are random, the network's name with its tag, and the file or seed, which may be empty."""
    is_random = spec.startswith("random:")
    name, _, what = spec.removeprefix("random:").removeprefix("timm:").partition("@" if is_random else ":")
    return is_random, name, what


def _preprocess(name: str) -> Mapping[str, Any]:
    """What timm tells of the pictures that a network was trained on."""
    config = timm.get_pretrained_cfg(name)
    return {} if config is None else {"mean": config.mean, "std": config.std, "interpolation": config.interpolation}


def _check_tag(name: str) -> None:
    arch, _, tag = name.partition(".")
    tags = [known.partition(".")[2] for known in timm.list_models(f"{arch}.*", pretrained=True)]
    if tag and tag not in tags:
        raise UserError(f"timm's '{arch}' has no pretrained tag '{tag}'.", nearest(tag, tags))


def _cached(name: str) -> Path | None:
    """The file of pretrained weights that timm or the hub's client fetched before."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return None
    return hub.cached_file(config.hf_hub_id, (config.hf_hub_filename,) if config.hf_hub_filename else _FILES)


def _fetched(name: str) -> dict[str, Tensor]:
    """Pretrained weights, head included, as timm loads them at the network's native size.

    Raises:
        UserError: timm offers none, or they cannot be fetched.
    """
    arch = name.partition(".")[0]
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"timm has no pretrained weights of '{name}'.", f"Give a file (timm:{arch}:FILE), or random:timm:{arch}.")
    try:
        if config.hf_hub_id:
            hub.ask(config.hf_hub_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:  # timm, huggingface_hub and urllib each raise their own kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        page = f"{_FILES[0]} from https://huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else config.url
        raise UserError(
            f"timm:{name} is not on this machine and cannot be fetched ({reason}).",
            f"Download {page} where there is a network, and give it as timm:{arch}:FILE.",
        ) from error


def _shapes(arch: str) -> dict[str, torch.Size]:
    """Of the whole network at its native size, its classifier too, found without weights."""
    with torch.device("meta"):
        net = build_net(arch, {}, whole=True)
    return {key: value.shape for key, value in net.state_dict().items()}


def _differences(arch: str, state: Mapping[str, Tensor], whole: Mapping[str, torch.Size]) -> list[str]:
    """What keeps weights from being those of the network in front of its head; counters that old files lack do not."""
    with torch.device("meta"):
        kept = build_net(arch, {}).state_dict()
    unused = net_facts(arch, native_size(arch)).unused
    needed = [key for key in kept if key.partition(".")[0] not in unused and not key.endswith("num_batches_tracked")]
    wrong = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(whole[key])}" for key in needed if key in state and state[key].shape != whole[key]
    ]
    wrong += [f"{key} is missing" for key in needed if key not in state]
    heads = {key.partition(".")[0] for key in whole if key not in kept} | set(unused)
    return wrong + [f"{key} is not part of it" for key in state if key not in whole and key.partition(".")[0] not in heads]


def _renamed(arch: str, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Weights by the names of their authors in timm's, where timm knows how."""
    module = sys.modules[timm.model_entrypoint(arch).__module__]
    rename = next((getattr(module, name) for name in _FILTERS if hasattr(module, name)), None)
    if rename is None:
        return None
    net = build_net(arch, {}, whole=True)
    try:
        try:
            return dict(rename(dict(state), net))
        except TypeError:  # older ones take the weights alone
            return dict(rename(dict(state)))
    except Exception:  # weights of another network make it raise almost anything: they are told as they are
        return None


def _resized(name: str, state: Mapping[str, Tensor], config: EncoderConfig) -> Any:
    """The network with all its weights, brought to the configuration's size by timm.

    Raises:
        UserError: timm cannot.
    """
    overlay = {"state_dict": dict(state), "source": "timm", "custom_load": False}
    try:
        return build_net(name, facts_of(config).options, pretrained=True, pretrained_cfg_overlay=overlay)
    except (RuntimeError, KeyError, ValueError, TypeError, AssertionError) as error:
        height, width = native_size(name)
        raise UserError(
            f"The weights of timm's '{name}' belong to {height}x{width} pixels, and timm cannot bring them to "
            f"{config.image_size[0]}x{config.image_size[1]}.",
            f"Take --set height={height} --set width={width}, or a network of convolutions.",
        ) from error
