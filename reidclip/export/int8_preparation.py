"""Pre-processing in front of an ONNX file that reads normalised pictures."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from reidclip.export.network import PICTURES, VECTORS, ExportNetwork
from reidclip.export.onnx_format import write_onnx

_PREFIX, _PREPARED = "preparation/", "prepared"


class _Preparation(ExportNetwork):
    """The first part of an `ExportNetwork`: uint8 (B, H, W, 3) -> normalised float32 (B, 3, H, W)."""

    def __init__(self, whole: ExportNetwork) -> None:
        super().__init__(whole.encoder, preprocessing=True, resize=whole.resize)
        self.encoder = _Unread(whole.encoder)  # type: ignore[assignment]  # its weights are in the other file

    @property
    def cameras(self) -> int:
        return 0

    def forward(self, pictures: Tensor, camera: Tensor | None = None) -> Tensor:
        """The pictures as the encoder reads them."""
        return self._prepared(pictures)


class _Unread(nn.Module):
    """What pre-processing has to know of an encoder, without its weights."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.options = encoder.options
        self.image_encoder = type("Tower", (), {"config": encoder.image_encoder.config})()  # type: ignore[union-attr]


def with_preparation(path: Path, network: ExportNetwork, opset: int, scratch: Path) -> None:
    """Put the pre-processing of ``network`` in front of the file, which reads what it gives; ``scratch`` is a folder for a while."""
    import onnx

    first = scratch / "preparation.onnx"
    write_onnx(_Preparation(network), first, opset)
    core = onnx.load(str(path))
    _rename_input(core.graph, PICTURES, _PREPARED)
    before = onnx.load(str(first))
    before.ir_version = core.ir_version
    whole = onnx.compose.merge_models(
        onnx.compose.add_prefix(before, _PREFIX), core, io_map=[(f"{_PREFIX}{VECTORS}", _PREPARED)], producer_name=core.producer_name
    )
    _rename_input(whole.graph, f"{_PREFIX}{PICTURES}", PICTURES)
    onnx.checker.check_model(whole)
    onnx.save(whole, str(path))


def _rename_input(graph: object, name: str, to: str) -> None:
    for value in graph.input:  # type: ignore[attr-defined]
        if value.name == name:
            value.name = to
    for node in graph.node:  # type: ignore[attr-defined]
        node.input[:] = [to if given == name else given for given in node.input]
