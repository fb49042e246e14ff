"""Which nodes of an ONNX graph are quantised and which stay in float."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FLOAT_PARTS = ("first", "last", "attention-pool")
"""Parts that can be left in float: what reads the picture, what gives the last product, and CLIP's attention pool."""

_PRODUCTS = ("Conv", "MatMul", "Gemm")
_POOLS = ("/attnpool", "/attn_pool")  # open_clip's and timm's names, which are in those of the nodes


def is_convolutional(graph: Any) -> bool:
    """Whether the graph is a network of convolutions, and not of matrix products behind patches or a stem."""
    weights = {initializer.name for initializer in graph.initializer}
    convolutions = sum(node.op_type == "Conv" for node in graph.node)
    products = sum(node.op_type in ("MatMul", "Gemm") and node.input[1] in weights for node in graph.node)
    return bool(convolutions > 1 + products // 4)


def quantisable(convolutional: bool, static: bool) -> list[str]:
    """Kinds of nodes to be quantised.

    With calibrated ranges what lies between two convolutions is quantised too, so that nothing goes to float and back in between.
    """
    if not convolutional:
        return ["MatMul", "Gemm"]
    return [*_PRODUCTS, "Relu", "Add", "AveragePool", "MaxPool"] if static else list(_PRODUCTS)


def nodes_left_float(graph: Any, parts: Sequence[str]) -> list[str]:
    """Names of the nodes of these parts; where the encoder reads a picture twice (mirrored), those of both readings."""
    weights = {initializer.name for initializer in graph.initializer}
    products = [n for n in graph.node if n.op_type in _PRODUCTS and len(n.input) > 1 and n.input[1] in weights]
    left = [n.name for n in products if "attention-pool" in parts and any(pool in n.name for pool in _POOLS)]
    ends = [products[0].input[1]] if "first" in parts and products else []
    ends += [products[-1].input[1]] if "last" in parts and products else []
    left += [n.name for n in products if n.input[1] in ends]
    return sorted(set(left))
