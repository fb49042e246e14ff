"""Format ``safetensors``: plain weights under open_clip's or timm's own names, with their configuration.

``open_clip.create_model("local-dir:FOLDER")`` or ``timm.create_model("local-dir:FOLDER", pretrained=True)`` read the folder; ``load.py`` in
it adds what they do not know: how one vector is made, and changes that their configurations cannot say (``vectors.json``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from reidclip.clip.inference import InferenceEncoder
from reidclip.errors import WorkError
from reidclip.export import safetensors_load
from reidclip.export.safetensors_parts import Parts, taken_apart
from reidclip.export.settings import SafetensorsSettings
from reidclip.interfaces import ExportPlan
from reidclip.settings import Settings

OPEN_CLIP_FILE, TIMM_FILE, LOADER_FILE = "open_clip_model.safetensors", "model.safetensors", "load.py"


class SafetensorsSession:
    """The folder, loaded by open_clip or timm.

    Raises:
        WorkError: they cannot load it.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        before = torch.get_num_threads()
        self._threads = threads or before
        try:
            self._network = safetensors_load.load(path.parent)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise WorkError(f"{path} cannot be loaded: {said}", "Export the checkpoint again.") from error
        self.name = _library(self._network.about["library"])

    def __call__(self, pictures: np.ndarray, camera: np.ndarray | None = None) -> np.ndarray:
        """See `reidclip.interfaces.ExportedSession`."""
        vectors: np.ndarray = self._network(torch.from_numpy(np.ascontiguousarray(pictures))).numpy()
        return vectors


class SafetensorsExporter:
    """The exporter; fulfils `reidclip.interfaces.Exporter`."""

    name = "safetensors"
    title = "plain weights, for open_clip or timm"
    settings: type[Settings] = SafetensorsSettings
    precisions: tuple[str, ...] = ("fp32",)
    exact = True
    preprocesses = False

    def export(self, encoder: nn.Module, plan: ExportPlan, folder: Path) -> Path:
        """Write weights, configuration and ``load.py``; see `reidclip.interfaces.Exporter`.

        Raises:
            UserError: what neither library can build (overlapping patches, camera embeddings, context blocks, other towers).
        """
        assert isinstance(encoder, InferenceEncoder)
        parts = taken_apart(encoder)
        path = folder / (OPEN_CLIP_FILE if parts.library == "open_clip" else TIMM_FILE)
        _save(parts.weights, path)
        if parts.extra:
            (folder / "extra").mkdir()
            _save(parts.extra, folder / safetensors_load.EXTRA_FILE)
        name, document = _config(parts, encoder)
        _write(folder / name, document)
        options = encoder.options
        told = {"library": parts.library, **parts.reading, "flip": options.flip, "normalise": options.normalise, "notes": list(parts.notes)}
        _write(folder / safetensors_load.ABOUT_FILE, told)
        source = Path(safetensors_load.__file__).read_text(encoding="utf-8")
        (folder / LOADER_FILE).write_text(source, encoding="utf-8")
        return path

    def load(self, path: Path, threads: int | None = None) -> SafetensorsSession:
        """See `reidclip.interfaces.Exporter`."""
        return SafetensorsSession(path, threads)

    def facts(self, path: Path) -> Mapping[str, Any]:
        """What ``export.json`` says of the file."""
        about = json.loads((path.parent / safetensors_load.ABOUT_FILE).read_text(encoding="utf-8"))
        return {"library": _library(about["library"]), "loads_without_load_py": not about["changes"], "notes": about["notes"]}


def _config(parts: Parts, encoder: InferenceEncoder) -> tuple[str, dict[str, Any]]:
    """Name and content of the library's own configuration file."""
    height, width = encoder.image_encoder.config.image_size
    options = encoder.options
    shown = {"interpolation": options.resize} | ({} if options.per_picture else {"mean": list(options.mean), "std": list(options.std)})
    if parts.library == "open_clip":
        return "open_clip_config.json", {
            "model_cfg": parts.config,
            "preprocess_cfg": {"size": [height, width], "mode": "RGB", "resize_mode": "squash", **shown},
        }
    own = {"input_size": [3, height, width], "num_classes": 0, "crop_pct": 1.0, "crop_mode": "squash", **shown}
    return "config.json", {**parts.config, "num_classes": 0, "pretrained_cfg": own}


def _save(tensors: Mapping[str, Any], path: Path) -> None:
    save_file({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, path, metadata={"format": "pt"})


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _library(name: str) -> str:
    from importlib.metadata import version

    return f"{name} {version('open_clip_torch' if name == 'open_clip' else name)}"


EXPORTER = SafetensorsExporter()
