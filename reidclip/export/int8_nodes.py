"""Which nodes of an ONNX graph are quantised and which stay in float."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FLOAT_PARTS = ("first", "last", "attention-pool")
"""Parts that can be left in float: what reads the picture, what gives the last product, and what enters an attention pool (queries, keys
and values of CLIP's; its output is the last product)."""

_PRODUCTS = ("Conv", "MatMul", "Gemm")
_POOLS = ("/image_encoder/q_proj/", "/image_encoder/k_proj/", "/image_encoder/v_proj/", "/attn_pool/")  # CLIP's, timm's; in names of nodes


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
    """Names of the nodes of these parts, and of products without weights: attention itself, which loses by rounding."""
    weights = {initializer.name for initializer in graph.initializer}
    products = [n for n in graph.node if n.op_type in _PRODUCTS and len(n.input) > 1 and n.input[1] in weights]
    left = [n.name for n in graph.node if n.op_type == "MatMul" and n.input[1] not in weights]
    left += [n.name for n in products if "attention-pool" in parts and any(pool in n.name for pool in _POOLS)]
    left += [products[0].name] if "first" in parts and products else []
    left += [products[-1].name] if "last" in parts and products else []
    return sorted(set(left))


def with_own_constants(graph: Any) -> None:
    """Copy constants that torch's exporter found equal, and wrote once, to every reader: quantisation looks for each by name."""
    constants = {initializer.name: initializer for initializer in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in constants and node.output[0] not in {value.name for value in graph.output}:
            copied = graph.initializer.add()
            copied.CopyFrom(constants[node.input[0]])
            copied.name = node.output[0]
            constants[copied.name] = copied
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        kept = [type(node).FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(kept)
