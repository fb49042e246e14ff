"""Which nodes of an ONNX graph are quantised and which stay in float."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

FLOAT_PARTS = ("first", "last", "attention-pool")
"""Parts that can be left in float: what reads the picture, what gives the last product, and CLIP's attention pool."""

_PRODUCTS = ("Conv", "MatMul", "Gemm")
_POOLS = ("/attnpool", "/attn_pool")  # open_clip's and timm's names, which are in those of the nodes


def quantisable(graph: Any, mode: Literal["dynamic", "static"]) -> list[str]:
    """Kinds of nodes to be quantised.

    Networks of matrix products alone (transformers) get those. In networks of convolutions with calibrated ranges, what lies between two
    convolutions is quantised too, so that nothing goes back to float and forth in between.
    """
    weights = {initializer.name for initializer in graph.initializer}
    convolutions = sum(node.op_type == "Conv" for node in graph.node)
    products = sum(node.op_type in ("MatMul", "Gemm") and node.input[1] in weights for node in graph.node)
    if convolutions <= 1 + products // 4:  # patches and a stem
        return ["MatMul", "Gemm"]
    return [*_PRODUCTS, "Relu", "Add", "AveragePool", "MaxPool"] if mode == "static" else list(_PRODUCTS)


def nodes_left_float(graph: Any, parts: Sequence[str]) -> list[str]:
    """Names of the nodes of these parts; where the encoder reads a picture twice (mirrored), those of both readings."""
    weights = {initializer.name for initializer in graph.initializer}
    products = [n for n in graph.node if n.op_type in _PRODUCTS and len(n.input) > 1 and n.input[1] in weights]
    left = [n.name for n in products if "attention-pool" in parts and any(pool in n.name for pool in _POOLS)]
    ends = [products[0].input[1]] if "first" in parts and products else []
    ends += [products[-1].input[1]] if "last" in parts and products else []
    left += [n.name for n in products if n.input[1] in ends]
    return sorted(set(left))
