"""The bundled exporters as they are registered: facts here, torch imported when one writes or loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidclip.export.settings import Int8Settings, OnnxSettings, SafetensorsSettings, TorchExportSettings
from reidclip.interfaces import ExportedSession, Exporter, ExportPlan
from reidclip.settings import Settings

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LazyExporter:
    """See `reidclip.interfaces.Exporter` for the meaning of each part; ``module`` has an ``EXPORTER`` that does the work."""

    name: str
    title: str
    module: str
    settings: type[Settings]
    precisions: tuple[str, ...] = ("fp32",)
    exact: bool = True
    calibrates: bool = False
    preprocesses: bool = True

    def export(self, encoder: nn.Module, plan: ExportPlan, folder: Path) -> Path:
        """Write the files into ``folder``; gives the one that is loaded."""
        return self._exporter.export(encoder, plan, folder)

    def load(self, path: Path, threads: int | None = None) -> ExportedSession:
        """Open what `export` wrote."""
        return self._exporter.load(path, threads)

    def facts(self, path: Path) -> Mapping[str, Any]:
        """What ``export.json`` adds about the file."""
        facts: Any = getattr(self._exporter, "facts", None)
        found: Mapping[str, Any] = facts(path) if facts else {}
        return found

    @property
    def _exporter(self) -> Exporter:
        exporter: Exporter = import_module(self.module).EXPORTER
        return exporter


ONNX = LazyExporter(
    "onnx", "ONNX, for ONNX Runtime and other runtimes of the standard", "reidclip.export.onnx_format", OnnxSettings, ("fp32", "fp16")
)
ONNX_INT8 = LazyExporter(
    "onnx-int8",
    "ONNX in 8-bit whole numbers, for ONNX Runtime on CPUs",
    "reidclip.export.int8",
    Int8Settings,
    exact=False,
    calibrates=True,
)
TORCH_EXPORT = LazyExporter(
    "torch-export", "torch.export program (.pt2), runs with torch alone", "reidclip.export.torch_export", TorchExportSettings
)
SAFETENSORS = LazyExporter(
    "safetensors",
    "plain weights, for open_clip or timm",
    "reidclip.export.safetensors_format",
    SafetensorsSettings,
    preprocesses=False,
)
