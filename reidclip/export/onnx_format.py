"""Format ``onnx``: one file that ONNX Runtime and any other runtime of that standard reads."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from reidclip.errors import UserError, WorkError
from reidclip.export.network import CAMERA, PICTURES, VECTORS, ExportNetwork
from reidclip.export.onnx_half import halve_weights
from reidclip.export.settings import OnnxSettings
from reidclip.interfaces import ExportedSession, ExportPlan
from reidclip.settings import Settings

MODEL_FILE = "model.onnx"
_LARGEST = 2**31 - 1  # bytes of one protobuf message, which such a file is


class OnnxSession:
    """An ONNX file in ONNX Runtime on the CPU.

    Args:
        path: the file.
        threads: None leaves ONNX Runtime its own number.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is raised too
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # each fault has a class of its own, none of them public
            raise WorkError(f"ONNX Runtime cannot open {path}: {_first_line(error)}", "Export the checkpoint again.") from error
        self.name = f"onnxruntime {onnxruntime.__version__}"
        self._kinds = {i.name: i for i in self._session.get_inputs()}

    def __call__(self, pictures: np.ndarray, camera: np.ndarray | None = None) -> np.ndarray:
        """See `reidclip.interfaces.ExportedSession`.

        Raises:
            WorkError: pictures of another size or kind than the file takes.
        """
        fed = {PICTURES: np.ascontiguousarray(pictures)}
        if CAMERA in self._kinds:
            fed[CAMERA] = np.zeros(len(pictures), np.int64) if camera is None else camera
        try:
            vectors: np.ndarray = self._session.run([VECTORS], fed)[0]
        except Exception as error:
            raise WorkError(f"ONNX Runtime failed: {_first_line(error)}", "Give pictures as export.json describes them.") from error
        return vectors


class OnnxExporter:
    """Traces the encoder and writes it by torch's exporter."""

    name = "onnx"
    title = "ONNX, for ONNX Runtime and other runtimes of the standard"
    settings: type[Settings] = OnnxSettings
    precisions = ("fp32", "fp16")
    exact = True

    def export(self, encoder: nn.Module, plan: ExportPlan, folder: Path) -> Path:
        """See `reidclip.interfaces.Exporter`."""
        path = folder / MODEL_FILE
        write_onnx(ExportNetwork.of(encoder, plan), path, plan.settings.opset)
        if plan.precision == "fp16":
            halve_weights(path)
        return path

    def load(self, path: Path, threads: int | None = None) -> ExportedSession:
        """See `reidclip.interfaces.Exporter`."""
        return OnnxSession(path, threads)

    def facts(self, path: Path) -> Mapping[str, Any]:
        """Versions for ``export.json``."""
        return onnx_facts(path)


def write_onnx(network: ExportNetwork, path: Path, opset: int) -> None:
    """The network as one ONNX file of float32 weights, with a free batch size.

    torch's exporter that traces is taken and not the one that reads programs (``dynamo=True``): both write every encoder of the toolkit
    with the same vectors, the former in a twentieth of the time and without a further package.

    Raises:
        UserError: an operator that this opset lacks, by name; or a network beyond what one file can hold.
    """
    import onnx

    size = sum(p.numel() * p.element_size() for p in network.state_dict().values())
    if size > _LARGEST:
        raise UserError(
            f"The encoder's weights are {size / 2**30:.1f} GiB; one ONNX file holds 2.", "Export it with --format torch-export."
        )
    with _told_in_one_sentence(opset), torch.no_grad(), _plain_attention():
        torch.onnx.export(
            network,
            network.example(),
            str(path),
            input_names=network.input_names,
            output_names=[VECTORS],
            dynamic_axes=_free(network),
            opset_version=opset,
            dynamo=False,
        )
    onnx.checker.check_model(str(path))


def onnx_facts(path: Path) -> dict[str, Any]:
    """Versions of what wrote a file and what it needs."""
    import onnx
    import onnxruntime

    model = onnx.load(str(path), load_external_data=False)
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "opsets": opsets, "ir_version": model.ir_version}


def _free(network: ExportNetwork) -> dict[str, dict[int, str]]:
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*network.input_names, VECTORS)}
    if network.resize:
        axes[PICTURES] |= {1: "height", 2: "width"}
    return axes


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Within, transformer layers that run as one fused kernel in evaluation mode, which no format has, run as their parts."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def _told_in_one_sentence(opset: int) -> Iterator[None]:
    """Within, torch's exporter keeps its warnings and graphs to itself, and what it cannot write becomes one sentence."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of tracing shapes that are fixed, and of the exporter's age
            yield
    except torch.onnx.errors.UnsupportedOperatorError as error:
        found = re.search(r"operator '([^']+)'", str(error))
        name = found.group(1) if found else "of the encoder"
        raise UserError(
            f"ONNX (opset {opset}) has no operator for torch's {name}, which this encoder uses.",
            "Try a later one, --set opset=20, or --format torch-export, which takes every operator.",
        ) from error
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise UserError(f"The encoder cannot be written as ONNX: {_first_line(error)}", "Try --format torch-export.") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


EXPORTER = OnnxExporter()
