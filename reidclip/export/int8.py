"""Format ``onnx-int8``: the matrix products and convolutions of an ONNX file in 8-bit whole numbers, for ONNX Runtime on CPUs.

Weights are rounded to int8, one scale per output channel; activations to uint8, by a range that is either measured on every call (dynamic)
or once, on pictures of the training half (static). What is not quantised stays float32. Pre-processing is put in front afterwards, so that
ranges are measured on what the encoder itself reads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from reidclip.errors import UserError
from reidclip.export.int8_calibration import Pictures, measured_on, quiet
from reidclip.export.int8_nodes import FLOAT_PARTS, is_convolutional, nodes_left_float, quantisable, with_own_constants
from reidclip.export.int8_preparation import with_preparation
from reidclip.export.network import ExportNetwork
from reidclip.export.one_reading import OneReading
from reidclip.export.onnx_format import MODEL_FILE, OnnxSession, onnx_facts, write_onnx
from reidclip.export.settings import Int8Settings
from reidclip.interfaces import ExportedSession, ExportPlan
from reidclip.settings import Settings


class Int8Exporter:
    """The exporter; fulfils `reidclip.interfaces.Exporter`."""

    name = "onnx-int8"
    title = "ONNX in 8-bit whole numbers, for ONNX Runtime on CPUs"
    settings: type[Settings] = Int8Settings
    precisions: tuple[str, ...] = ("fp32",)  # of what is not quantised
    exact = False
    calibrates = True

    def export(self, encoder: nn.Module, plan: ExportPlan, folder: Path) -> Path:
        """Write ``model.onnx``; see `reidclip.interfaces.Exporter`.

        Raises:
            UserError: static without pictures, a part that does not exist, an operator that ONNX lacks, an encoder in which nothing can
                be quantised.
        """
        settings: Int8Settings = plan.settings
        _check(settings, plan)
        bare = OneReading(encoder)  # type: ignore[arg-type]  # an InferenceEncoder, by the contract
        path = folder / MODEL_FILE
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            exact = Path(scratch) / "float.onnx"
            write_onnx(bare, exact, settings.opset)
            _quantise(exact, path, settings, plan)
            if plan.preprocessing:
                with_preparation(path, ExportNetwork.of(encoder, plan), settings.opset, Path(scratch))
        return path

    def load(self, path: Path, threads: int | None = None) -> ExportedSession:
        """See `reidclip.interfaces.Exporter`."""
        return OnnxSession(path, threads)

    def facts(self, path: Path) -> Mapping[str, Any]:
        """Versions, and how many nodes of which kind are quantised, for ``export.json``."""
        return {**onnx_facts(path), "quantised": quantised_nodes(path)}


def quantised_nodes(path: Path) -> dict[str, int]:
    """How many products of a file are in whole numbers, by kind; of QDQ files those whose inputs are dequantised."""
    import onnx

    graph = onnx.load(str(path)).graph
    dequantised = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    counts: dict[str, int] = {}
    for node in graph.node:
        written = node.op_type in ("MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul", "QGemm")
        if written or (node.op_type in ("Conv", "MatMul", "Gemm") and len(node.input) > 1 and set(node.input[:2]) <= dequantised):
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def _check(settings: Int8Settings, plan: ExportPlan) -> None:
    wrong = [part for part in settings.keep_float if part not in FLOAT_PARTS]
    if wrong:
        raise UserError(f"There is no part '{wrong[0]}' of an encoder to keep in float.", f"Known: {', '.join(FLOAT_PARTS)}.")
    if settings.mode == "static" and plan.calibration is None:
        raise UserError(
            "Static int8 measures ranges on training pictures, and none are at hand.",
            "Name their data: --data data/prcc. Or take --set mode=dynamic, which needs none.",
        )


def _quantise(exact: Path, path: Path, settings: Int8Settings, plan: ExportPlan) -> None:
    """``exact`` -> ``path``.

    Raises:
        UserError: nothing can be quantised.
    """
    import onnx
    from onnxruntime import quantization as q

    model = onnx.load(str(exact))
    graph = model.graph
    with_own_constants(graph)
    onnx.save(model, str(exact))
    convolutional = is_convolutional(graph)
    static = settings.mode == "static" or (settings.mode == "auto" and convolutional and plan.calibration is not None)
    kinds = quantisable(convolutional, static)
    left = nodes_left_float(graph, settings.keep_float)
    if not any(node.op_type in kinds and node.name not in left for node in graph.node):
        raise UserError(
            "Nothing of this encoder can be quantised: it has no matrix product or convolution beside the parts kept in float.",
            "Keep fewer (--set keep_float=first), or take --format onnx.",
        )
    common: dict[str, Any] = {
        "nodes_to_exclude": left,
        "per_channel": settings.per_channel,
        "weight_type": q.QuantType.QInt8,
    }
    if not static:
        with quiet():
            q.quantize_dynamic(exact, path, op_types_to_quantize=kinds, extra_options={"MatMulConstBOnly": True}, **common)
        return
    assert plan.calibration is not None
    with measured_on(Pictures(plan.calibration, settings.pictures, settings.seed), [i.name for i in graph.input]) as reader:
        q.quantize_static(
            exact,
            path,
            reader,
            quant_format=q.QuantFormat.QDQ,  # what runtimes fuse to whole-number kernels; the other form is not developed on
            op_types_to_quantize=kinds,
            activation_type=q.QuantType.QUInt8,
            calibrate_method=q.CalibrationMethod.MinMax if settings.method == "minmax" else q.CalibrationMethod.Percentile,
            extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
            **common,
        )


EXPORTER = Int8Exporter()
