"""phi of CLIP3DReID, eq. (9): from a picture's feature to the shape of the body in it; inference does not need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from reidclip.clip.weights import check_finite
from reidclip.errors import UserError

SHAPE_FILE = "shape.safetensors"
_FORMAT = "1"
_REMEDY = "Distil again with --set lambda_3d=0.3 (any weight above 0)."


class ShapeHead(nn.Module):
    """MLP with one hidden layer from f_id to the shape parameters of a body model (Liu et al., CVPR 2024, section 3.4).

    It predicts the deviation from the mean of the bodies it is trained on, in their standard deviations: shape = mean + std * MLP(BN(f)).
    The BatchNorm, without trained parameters, is ours: f_id is compared by its direction and its length is nobody's concern, so that
    without it a head on a short f_id, as that of a student with a BNNeck is, learned nothing in 500 steps.
    The last layer starts at 0, so that an untrained head says "the mean body" of every picture, which is what its errors are compared with.

    Attributes:
        mean, std: (S,) buffers, of the training bodies' shape parameters.
        body, version: name and digest of the body model, as `reidclip.interfaces.BodySession` has them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, mean: Tensor, std: Tensor, *, body: str, version: str, hidden: int | None = None) -> None:
        """Random first layer, last layer 0.

        Args:
            width: W, of f_id.
            mean, std: (S,) of the training bodies; a parameter that they all share has std 0 and is predicted as it is.
            body, version: the body model.
            hidden: width of the hidden layer; None takes W.

        Raises:
            ValueError: mean and std that are no vectors of one length, not finite, or std below 0.
        """
        super().__init__()
        if mean.ndim != 1 or mean.shape != std.shape or len(mean) == 0:
            raise ValueError(f"mean {tuple(mean.shape)} and std {tuple(std.shape)} are not two vectors of one length")
        self.body, self.version = body, version
        self.register_buffer("mean", mean.detach().float().clone())
        self.register_buffer("std", std.detach().float().clone())
        self.standardise = nn.BatchNorm1d(width, affine=False)
        self.layers = nn.Sequential(nn.Linear(width, hidden or width), nn.ReLU(), nn.Linear(hidden or width, len(mean)))
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        if not mean.is_meta and not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std >= 0).all()):
            raise ValueError("mean and std of shape parameters must be finite, std 0 or more")

    @classmethod
    def of_bodies(cls, width: int, shapes: Tensor, *, body: str, version: str, hidden: int | None = None) -> ShapeHead:
        """A head for the bodies it is to be trained on: (P, S) shape parameters, P at least 2."""
        deviation, mean = torch.std_mean(shapes.float(), dim=0)
        return cls(width, mean, deviation, body=body, version=version, hidden=hidden)

    @property
    def width(self) -> int:
        """W, of the feature it reads."""
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        return first.in_features

    @property
    def shapes(self) -> int:
        """S, shape parameters."""
        return len(self.mean)

    def forward(self, feature: Tensor) -> Tensor:
        """f_id (B, W), neither normalised nor behind a BatchNorm -> shape parameters (B, S)."""
        deviation: Tensor = self.layers(self.standardise(feature))
        return self.mean + self.std * deviation

    def check_body(self, name: str, version: str, where: str) -> None:
        """That these are shapes of the body model it was trained with.

        Args:
            name, version: of the other's body model.
            where: what has that model, for the error ("mesh set /data/meshes").

        Raises:
            UserError: they are not.
        """
        if name != self.body:
            raise UserError(
                f"The checkpoint predicts shapes of body model '{self.body}', and {where} has bodies of '{name}'.",
                f"Evaluate it on bodies of '{self.body}', or distil with bodies of '{name}'.",
            )
        if version != self.version:
            raise UserError(
                f"The checkpoint predicts shapes of {self.body} {self.version[:12]}, and {where} has bodies of {name} {version[:12]}: "
                "the same numbers are other shapes there.",
                "Use the body file that it was distilled with, or distil again.",
            )

    def save(self, folder: Path) -> None:
        """Write ``shape.safetensors`` into an existing folder; its metadata name the body model."""
        state = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        save_file(state, folder / SHAPE_FILE, metadata={"format": "pt", "head": _FORMAT, "body": self.body, "version": self.version})

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> ShapeHead:
        """Read what `save` wrote, in evaluation mode.

        Raises:
            UserError: the folder has none, or its file is broken or of a later version.
        """
        path = folder / SHAPE_FILE
        if not path.is_file():
            raise UserError(f"Checkpoint {folder} predicts no shapes: it has no {SHAPE_FILE}.", _REMEDY)
        try:
            with safe_open(path, framework="pt") as file:
                told: dict[str, Any] = file.metadata() or {}
                state = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  (no mapping)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read: {error}.", _REMEDY) from error
        if told.get("head", _FORMAT) != _FORMAT:
            raise UserError(f"{path}: format {told['head']} is not known (this version reads {_FORMAT}).", "Update reidclip.")
        try:
            weight, body, version = state["layers.0.weight"], told["body"], told["version"]
            with torch.device("meta"):
                head = cls(
                    weight.shape[1], state["mean"].to("meta"), state["std"].to("meta"), body=body, version=version, hidden=len(weight)
                )
            head.load_state_dict(state, assign=True)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise UserError(f"{path} is no shape head: {str(error).splitlines()[0]}.", _REMEDY) from error
        check_finite(state, path)
        return head.eval().to(device)
