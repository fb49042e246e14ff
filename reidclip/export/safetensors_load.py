"""Load an exported folder with torch and open_clip or timm alone; lies beside the weights as ``load.py``, and needs nothing of reidclip.

network = load("folder")            # normalised float32 (B, 3, H, W) -> (B, D); sizes, mean and deviation: export.json
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

ABOUT_FILE, EXTRA_FILE = "vectors.json", "extra/extra.safetensors"


def load(folder: str | Path) -> Vectors:
    """The network, in evaluation mode on the CPU."""
    folder = Path(folder)
    about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
    extra = load_file(folder / EXTRA_FILE) if (folder / EXTRA_FILE).is_file() else {}
    build = _open_clip_tower if about["library"] == "open_clip" else _timm_network
    return Vectors(build(folder, about), about, extra).eval()


class Vectors(nn.Module):
    """A tower of open_clip or a network of timm, and the formula that makes one vector of what it gives.

    pooled and projected (open_clip's towers), or the pooled final map through the student's head (timm's networks); each times its scale
    plus its shift where there are necks; joined; averaged with the mirrored picture's; divided by its length. All as ``about`` says.
    """

    def __init__(self, net: Any, about: dict[str, Any], extra: dict[str, Tensor]) -> None:
        super().__init__()
        self.net, self.about, self.extra = net, about, extra

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Normalised (B, 3, H, W) -> (B, D)."""
        joined = self._joined(pictures)
        if self.about["flip"]:
            joined = (joined + self._joined(pictures.flip(-1))) / 2
        return F.normalize(joined, dim=1) if self.about["normalise"] else joined

    def _joined(self, x: Tensor) -> Tensor:
        parts = {"vit": self._vit, "resnet": self._resnet, "map": self._map}[self.about["reading"]](x)
        necks = [(self.extra.get(f"neck.{i}.scale"), self.extra.get(f"neck.{i}.shift")) for i in range(len(parts))]
        return torch.cat([p if a is None or b is None else p * a + b for p, (a, b) in zip(parts, necks)], dim=1)  # noqa: B905

    def _vit(self, x: Tensor) -> list[Tensor]:
        projection, self.net.proj = self.net.proj, None
        try:
            pooled = self.net(x)  # the class token behind the last norm
        finally:
            self.net.proj = projection
        return [pooled, pooled @ projection]

    def _resnet(self, x: Tensor) -> list[Tensor]:
        net = self.net
        final = net.layer4(net.layer3(net.layer2(net.layer1(net.stem(x)))))
        return [final.mean((2, 3)), net.attnpool(final)]

    def _map(self, x: Tensor) -> list[Tensor]:
        about = self.about
        if about["layout"] == "stage":
            stages = self.net.forward_intermediates(x, indices=[len(self.net.feature_info) - 1], intermediates_only=True)
            final = stages[0]
        else:
            final = self.net.forward_features(x)
        places = {"tokens": (1,), "NHWC": (1, 2)}.get(about["layout"], (2, 3))
        if about["layout"] == "tokens":
            final = final[:, about["prefix"] :]
        pooled = torch.cat([final.amax(places) if how == "max" else final.mean(places) for how in about["pooling"]], dim=1)
        return [self._head(pooled)]

    def _head(self, pooled: Tensor) -> Tensor:
        own = self.extra
        if "head.hidden.weight" in own:
            hidden = F.linear(pooled, own["head.hidden.weight"], own["head.hidden.bias"])
            pooled = F.relu(hidden) if self.about["activation"] == "relu" else F.gelu(hidden)
        if "head.output.weight" in own:
            pooled = F.linear(pooled, own["head.output.weight"], own["head.output.bias"])
        return pooled


def _open_clip_tower(folder: Path, about: dict[str, Any]) -> Any:
    """open_clip's image tower; where its configuration cannot say what was changed, changed here, and then filled."""
    import open_clip

    name = f"local-dir:{folder}"
    if not about["changes"]:
        return open_clip.create_model(name).visual
    logging.disable(logging.WARNING)  # open_clip warns that nothing is loaded, which is done below
    try:
        tower = open_clip.create_model(name, load_weights=False).visual
    finally:
        logging.disable(logging.NOTSET)
    if about["changes"].get("last_stage_stride_1"):
        tower.layer4[0].avgpool = nn.Identity()
        tower.layer4[0].downsample[0] = nn.Identity()
    weights = load_file(folder / "open_clip_model.safetensors")
    positions = weights["visual.attnpool.positional_embedding"]
    tower.attnpool.positional_embedding = nn.Parameter(torch.empty_like(positions))
    tower.load_state_dict({key.removeprefix("visual."): value for key, value in weights.items() if key.startswith("visual.")})
    return tower


def _timm_network(folder: Path, about: dict[str, Any]) -> Any:
    """timm's network, without classifier."""
    import timm

    net: Any = timm.create_model(f"local-dir:{folder}", pretrained=True)
    if about["changes"].get("last_stage_stride_1"):  # timm's own output_stride dilates, which this was not trained with
        net.layer4[0].conv2.stride = net.layer4[0].downsample[0].stride = (1, 1)
    return net
