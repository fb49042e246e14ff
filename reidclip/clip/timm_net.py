"""timm's networks as backbones: what has to be known of one before it is built, and how it is built."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from reidclip.clip.geometry import Size
from reidclip.clip.image_encoder import as_map
from reidclip.clip.in_memory import in_memory
from reidclip.errors import UserError

Layout = Literal["NCHW", "NHWC", "tokens", "stage"]
_BUILDING = (RuntimeError, TypeError, ValueError, KeyError, AssertionError, AttributeError, IndexError, NotImplementedError)


@dataclass(frozen=True)
class NetFacts:
    """A network at one input size.

    Attributes:
        stride: pixels from one place of the final map to the next.
        grid: (height, width) of the final map.
        first: centre of its first cell, in pixels along both axes; a pixel's own centre is at 0.5.
        width: its channels.
        last_width: channels of the map before it; the final map's where there is no other.
        layout: of the final map as the network gives it; "stage" where it gives no map in the end, but one of its last stage (PiT).
        prefix: tokens in front of those of places.
        options: what the network was built with, beside its name.
        unused: names of children that hold weights and that the final map does not pass (classifiers, the head's norm or convolution).
        unreached: names of other parameters without influence on the final map (blocks for a class token alone).
    """

    stride: int
    grid: Size
    first: tuple[float, float]
    width: int
    last_width: int
    layout: Layout
    prefix: int
    options: Mapping[str, Any]
    unused: tuple[str, ...]
    unreached: tuple[str, ...]


def is_network(name: str) -> bool:
    """Whether timm has a network of this name, with or without a pretrained tag."""
    return bool(timm.is_model(name.partition(".")[0]))


def known_name(name: str) -> str:
    """The name, when timm has a network of it (without a pretrained tag).

    Raises:
        UserError: there is none; names the nearest.
    """
    arch = name.partition(".")[0]
    if not timm.is_model(arch):
        near = ", ".join(difflib.get_close_matches(arch, timm.list_models(), n=4, cutoff=0.4))
        raise UserError(f"timm has no network '{arch}'.", f"{f'Near it: {near}. ' if near else ''}All names: timm.list_models().")
    return name


def build_net(name: str, options: Mapping[str, Any], whole: bool = False, **weights: Any) -> Any:
    """The network as timm makes it; in memory also on the meta device, see `in_memory`.

    Args:
        name: with or without a pretrained tag.
        options: see `NetFacts`.
        whole: with its classifier.
        weights: ``pretrained`` and what belongs to it.
    """
    head: dict[str, Any] = {} if whole else {"num_classes": 0}
    with in_memory(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own about its older names and layers
        return timm.create_model(name, **head, **options, **weights)


@lru_cache
def net_facts(name: str, size: Size, output_stride: int | None = None) -> NetFacts:
    """Facts of a network at an input size, found by running it on shapes alone.

    Args:
        name: timm's, without a pretrained tag.
        size: (height, width) in pixels.
        output_stride: 16 asks for a last stage of stride 1, where the network can do that; None leaves its own.

    Raises:
        UserError: timm has no such network; it has no feature map, cannot have this stride, or does not take pictures of this size.
    """
    known_name(name)
    stride_option = {} if output_stride is None else {"output_stride": output_stride}
    failed: Exception | None = None
    for options in ({**stride_option, "img_size": size}, stride_option):
        try:
            facts = _probed(name, size, options)
        except _NoMapError as error:
            raise UserError(
                f"timm's '{name}' is a student without a feature map: {error}.", "Take another network, such as timm:resnet18."
            ) from error
        except _BUILDING as error:
            failed = error if failed is None or "unexpected keyword" in str(failed) else failed
            continue
        if output_stride in (None, facts.stride):
            return facts
    raise _unfit(name, size, output_stride, failed)


class _NoMapError(Exception):
    """What a network gives is no map; the message tells what it is."""


def native_size(name: str) -> Size:
    """(height, width) of the pictures that the network's published weights were trained on."""
    config = timm.get_pretrained_cfg(name)
    _, height, width = (config.input_size if config else None) or (3, 224, 224)
    return height, width


def _unfit(name: str, size: Size, output_stride: int | None, failed: Exception | None) -> UserError:
    if output_stride is not None:
        own = net_facts(name, size).stride
        return UserError(f"timm's '{name}' has overall stride {own}, not {output_stride}.", "Leave stride out for the network's own.")
    height, width = native_size(name)
    reason = (str(failed).splitlines() or [type(failed).__name__])[0].rstrip(".")
    return UserError(
        f"timm's '{name}' does not take pictures of {size[0]}x{size[1]} pixels ({reason}).",
        f"Its own size is {height}x{width} (--set height={height} --set width={width}); or take another network.",
    )


def _probed(name: str, size: Size, options: Mapping[str, Any]) -> NetFacts:
    """Run the network without memory where that can be done, else with weights that are not filled.

    Raises:
        _NoMapError: it has none.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = timm.create_model(name, num_classes=0, **options)
            return _facts_of(net, size, options, "meta")
    except (RuntimeError, NotImplementedError):  # it computes tables from values
        with torch.device("meta"):
            net = build_net(name, options)
        return _facts_of(net, size, options, "cpu")


def _facts_of(net: Any, size: Size, options: Mapping[str, Any], device: str) -> NetFacts:
    if not hasattr(net, "forward_features"):
        raise _NoMapError(f"{type(net).__name__} shows no features")
    called: dict[nn.Module, None] = {}  # in order
    for module in net.modules():
        module.register_forward_pre_hook(lambda module, inputs: called.setdefault(module))
    names, params = zip(*((n, p) for n, p in net.named_parameters() if p.requires_grad), strict=True)
    with torch.enable_grad():
        final, before, last_stage = run(net.eval(), torch.zeros(1, 3, *size, device=device))
        layout, prefix, grid = _layout(final, last_stage, net, size)
        final_map = as_nchw(last_stage if layout == "stage" else final, layout, prefix, grid)
        reached = torch.autograd.grad(final_map.sum(), params, allow_unused=True)
    without = {n for n, gradient in zip(names, reached, strict=True) if gradient is None}
    unused = tuple(child for child, module in net.named_children() if _is_left_out(child, module, without, set(called)))
    width = int(final_map.shape[1])
    info = getattr(net, "feature_info", None)
    stride = int(info[-1]["reduction"]) if info else round(size[0] / grid[0])
    unreached = tuple(n for n in names if n in without and n.partition(".")[0] not in unused)
    last_width = width if before is None else int(before.shape[1])
    return NetFacts(stride, grid, _first_cell(called, stride), width, last_width, layout, prefix, dict(options), unused, unreached)


def _first_cell(called: Iterable[nn.Module], stride: int) -> tuple[float, float]:
    """Centre of the first cell, by the first convolution that makes the picture smaller.

    Where it cuts patches (a kernel of its stride, without padding), later stages join whole patches, and the cell's middle is half a stride
    from the picture's edge. Otherwise they are padded alike on both sides, as in a ResNet, and shift nothing further.
    """
    for module in called:
        if isinstance(module, nn.Conv2d) and max(module.stride) > 1:
            around = (0, 0) if isinstance(module.padding, str) else module.padding
            if module.kernel_size == module.stride and not any(around):
                return stride / 2, stride / 2
            rows, columns = ((kernel - 1) / 2 - pad + 0.5 for kernel, pad in zip(module.kernel_size, around, strict=True))
            return rows, columns
    return stride / 2, stride / 2


def _is_left_out(child: str, module: nn.Module, without: set[str], called: set[nn.Module]) -> bool:
    """Whether a child holds weights and none of it was called or had a gradient."""
    names = [f"{child}.{name}" for name, p in module.named_parameters() if p.requires_grad]
    return bool(names) and without.issuperset(names) and not called.intersection(module.modules())


def run(net: Any, x: Tensor) -> tuple[Any, Tensor | None, Tensor | None]:
    """What the network ends in, and the maps (B, C, h, w) of its last stages but one and last; None where it shows no stages."""
    stages = len(getattr(net, "feature_info", None) or ())
    if not hasattr(net, "forward_intermediates") or stages < 2:
        return net.forward_features(x), None, None
    final, (before, last) = net.forward_intermediates(x, indices=[stages - 2, stages - 1])
    return final, before, last


def as_nchw(final: Any, layout: Layout, prefix: int, grid: Size) -> Tensor:
    """A final map in the network's layout as (B, C, h, w)."""
    if layout == "tokens":
        return as_map(final[:, prefix:], grid)
    nchw: Tensor = final.permute(0, 3, 1, 2) if layout == "NHWC" else final
    return nchw


def _layout(final: Any, last_stage: Tensor | None, net: Any, size: Size) -> tuple[Layout, int, Size]:
    """Layout, tokens in front of those of places, and grid of what a network ends in.

    Raises:
        _NoMapError: neither that nor its last stage is a map.
    """
    cells: Size | None = None if last_stage is None else (last_stage.shape[2], last_stage.shape[3])
    shape = tuple(final.shape) if isinstance(final, Tensor) else ()
    if len(shape) == 4:
        by_name = getattr(net, "output_fmt", "") == "NHWC"
        is_last = by_name if shape[1] == shape[3] else shape[3] == net.num_features
        layout, grid = ("NHWC", shape[1:3]) if is_last else ("NCHW", shape[2:])
        return layout, 0, grid  # type: ignore[return-value]
    if len(shape) == 3:
        prefix = int(getattr(net, "num_prefix_tokens", 0)) if cells is None else shape[1] - cells[0] * cells[1]
        grid_or_none = cells or _grid_of(shape[1] - prefix, size)
        if prefix >= 0 and grid_or_none is not None:
            return "tokens", prefix, grid_or_none
    if cells is not None:
        return "stage", 0, cells
    raise _NoMapError(f"it ends in features of shape {shape}" if shape else f"it ends in a {type(final).__name__}, not in one map")


def _grid_of(tokens: int, size: Size) -> Size | None:
    """The grid of so many tokens with the picture's proportions; None where there is none."""
    height = round((tokens * size[0] / size[1]) ** 0.5)
    return (height, tokens // height) if height and height * (tokens // height) == tokens else None
