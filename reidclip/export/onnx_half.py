"""An ONNX file's weights in half precision: half the size, the same arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reidclip.errors import UserError

_LEAST = 256  # numbers of a tensor; smaller ones (biases, scales of norms) save nothing


def halve_weights(path: Path) -> None:
    """Rewrite a file so that its large tensors are float16, each made float32 again where it is read.

    Runtimes do that once, when they open the file. Products are those of float32 everywhere, so that results do not depend on which
    operators a runtime has in half precision; inputs and outputs stay float32.

    Raises:
        UserError: a weight is larger than float16 can hold.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < _LEAST:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise UserError(f"Weight {tensor.name} is larger than float16 can hold.", "Export it with --precision fp32.")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]  # a reader's tensors come before it
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
