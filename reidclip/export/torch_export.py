"""Format ``torch-export``: a graph by `torch.export` with a free batch, one ``.pt2`` file that runs with torch alone.

Nothing in the file is pickled: weights are raw bytes, the graph is JSON. Example inputs, which torch would pickle beside them, and the
source lines of every node, which hold paths of this machine, are taken out first.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import nn

from reidclip.errors import UserError, WorkError
from reidclip.export.network import ExportNetwork
from reidclip.export.settings import TorchExportSettings
from reidclip.interfaces import ExportPlan
from reidclip.settings import Settings

MODEL_FILE = "model.pt2"


class TorchExportSession:
    """A loaded program on the CPU.

    Args:
        path: of the ``.pt2`` file.
        threads: of torch while it runs; None: as they are set.

    Raises:
        WorkError: the file cannot be read as such a program.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.name = f"torch {torch.__version__}"
        self._threads = threads
        try:
            with _without_advice():
                self._run = torch.export.load(path).module()
        except (RuntimeError, OSError, ValueError, KeyError, BadZipFile) as error:
            raise WorkError(f"{path} is no program of torch.export ({_first_line(error)}).", "Export the checkpoint again.") from error

    def __call__(self, pictures: np.ndarray, camera: np.ndarray | None = None) -> np.ndarray:
        """See `reidclip.interfaces.ExportedSession`."""
        given = (pictures,) if camera is None else (pictures, camera)
        with torch.no_grad(), _threads(self._threads):
            vectors: np.ndarray = self._run(*(torch.from_numpy(np.ascontiguousarray(g)) for g in given)).numpy()
        return vectors


class TorchExport:
    """The exporter; fulfils `reidclip.interfaces.Exporter`."""

    name = "torch-export"
    title = "torch.export program (.pt2), runs with torch alone"
    settings: type[Settings] = TorchExportSettings
    precisions: tuple[str, ...] = ("fp32",)
    exact = True

    def export(self, encoder: nn.Module, plan: ExportPlan, folder: Path) -> Path:
        """Write ``model.pt2``; see `reidclip.interfaces.Exporter`.

        Raises:
            UserError: an operation of the encoder that cannot be traced, or resizing inside.
        """
        if plan.resize:
            raise UserError(
                "Format torch-export cannot resize inside: its graph would be of one size of pictures.",
                "Leave --resize out (--preprocessing takes pictures of the encoder's size), or take --format onnx.",
            )
        network = ExportNetwork.of(encoder, plan)
        batch = torch.export.Dim("batch", min=1)
        free = tuple({0: batch} for _ in network.input_names)
        try:
            with torch.no_grad(), _without_advice():
                program = torch.export.export(network, network.example(), dynamic_shapes=free, strict=False)
        except Exception as error:  # torch raises many kinds, some of them internal
            raise UserError(
                f"torch.export cannot trace this encoder: {_first_line(error)}.", "Export its weights alone: --format safetensors."
            ) from error
        program.example_inputs = None
        for node in program.graph.nodes:
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack"):
                node.meta.pop(key, None)
        with _without_advice():
            torch.export.save(program, folder / MODEL_FILE)
        return folder / MODEL_FILE

    def load(self, path: Path, threads: int | None = None) -> TorchExportSession:
        """See `reidclip.interfaces.Exporter`."""
        return TorchExportSession(path, threads)

    def facts(self, path: Path) -> dict[str, Any]:
        """What ``export.json`` says of the file."""
        return {"torch": torch.__version__, "load": f"torch.export.load({path.name!r}).module()"}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")


@contextmanager
def _without_advice() -> Iterator[None]:
    """Within, torch's remarks on how tensors share memory are not shown: the verification says whether all is well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


EXPORTER = TorchExport()
