"""The guide by words of CLIP3DReID (section 3.2): Psi maps phrases to the student's channels; optimal transport compares places to them.

Inference needs none of it. A distilled checkpoint keeps it beside the student, as ``transport.safetensors``, for transport maps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from reidclip.bodies.phrases import PAIRS, TEMPLATE
from reidclip.clip.weights import check_finite
from reidclip.errors import UserError
from reidclip.formulas.transport import LOG_BELOW, Plan, cosine_cost, sinkhorn, transport_cost
from reidclip.train.descriptions import chosen_texts

TRANSPORT_FILE = "transport.safetensors"
_FORMAT = "1"
_REMEDY = "Name a checkpoint of `reidclip distill --method clip3dreid` whose weight of the OT loss is above 0."
_PHRASES = tuple((pair.first, pair.second) for pair in PAIRS)


class Guidance(NamedTuple):
    """What the words say of a batch.

    Attributes:
        cost: (B,) d of eq. (4), the loss before its mean.
        plan: see `reidclip.formulas.transport.Plan`; its T is (B, N, 16).
    """

    cost: Tensor
    plan: Plan


class TransportGuide(nn.Module):
    """Psi, the texts it maps, and how they are transported.

    Psi is an MLP with one hidden layer and a ReLU; the paper names neither the activation nor the hidden width (here: that of the result).
    With ``hidden=0`` it is linear.

    Attributes:
        texts: (P, 2, D) buffer of text features, of both phrases of each pair.
        phrases: P pairs of words, in the order of ``texts``.
        template: the sentence they stood in.
        teacher: spec and digest of the CLIP that encoded them; ("", "") where nobody said.
        regularisation, iterations, tolerance, plan_gradient: see `reidclip.formulas.transport.sinkhorn` and ``transport_cost``.
    """

    texts: Tensor

    def __init__(
        self,
        texts: Tensor,
        width: int,
        *,
        hidden: int | None = None,
        regularisation: float = 1.0,
        iterations: int = 1,
        tolerance: float | None = None,
        plan_gradient: bool = True,
        teacher: tuple[str, str] = ("", ""),
        phrases: Sequence[tuple[str, str]] = _PHRASES,
        template: str = TEMPLATE,
    ) -> None:
        """Random Psi.

        Args:
            texts: (P, 2, D), not normalised; copied.
            width: channels C of the student's map.
            hidden: width of Psi's hidden layer; None takes ``width``, 0 leaves the layer out.
            regularisation: lambda of eq. (5).
            iterations, tolerance: of Sinkhorn.
            plan_gradient: whether gradients go through the plan too (the paper's formula), or through the costs alone (published code).
            teacher, phrases, template: told of in the file.

        Raises:
            ValueError: texts of another shape or another number of pairs, or numbers outside their range.
        """
        super().__init__()
        if texts.ndim != 3 or texts.shape[:2] != (len(phrases), 2):
            raise ValueError(f"texts must be ({len(phrases)}, 2, D), not {tuple(texts.shape)}")
        if not 0 < regularisation < math.inf or iterations < 1:
            raise ValueError(f"lambda {regularisation} must be positive and finite, and {iterations} iterations at least 1")
        self.regularisation, self.iterations, self.tolerance, self.plan_gradient = regularisation, iterations, tolerance, plan_gradient
        self.teacher, self.phrases, self.template = teacher, tuple(phrases), template
        self.register_buffer("texts", texts.detach().float().clone())
        self.psi = _psi(texts.shape[2], width if hidden is None else hidden, width)

    @property
    def width(self) -> int:
        """C, channels of the map that it reads."""
        last = self.psi[-1]
        assert isinstance(last, nn.Linear)
        return last.out_features

    @property
    def log_domain(self) -> bool:
        """Whether logarithms are iterated: costs of cosines go up to 2, so that lambda alone decides, and nothing waits for the device."""
        return self.regularisation < LOG_BELOW

    def forward(self, places: Tensor, choices: Tensor) -> Guidance:
        """Eq. (3)-(7).

        Args:
            places: F, (B, N, C), the student's map.
            choices: (B, P) int64, which phrase of each pair tells of the picture: 0 or 1.

        Raises:
            ValueError: shapes that do not fit.
        """
        if choices.shape != (len(places), len(self.texts)):
            raise ValueError(f"choices must be {(len(places), len(self.texts))}, not {tuple(choices.shape)}")
        cost = cosine_cost(places, chosen_texts(self.psi(self.texts), choices))
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.plan_gradient):
            plan = sinkhorn(
                cost,
                regularisation=self.regularisation,
                iterations=self.iterations,
                tolerance=self.tolerance,
                log_domain=self.log_domain,
            )
        return Guidance(transport_cost(plan.plan, cost, detach_plan=not self.plan_gradient), plan)

    def save(self, folder: Path) -> None:
        """Write ``transport.safetensors`` into an existing folder; its metadata hold words, teacher and Sinkhorn's settings as JSON."""
        told = {
            "template": self.template,
            "phrases": self.phrases,
            "teacher": self.teacher,
            "regularisation": self.regularisation,
            "iterations": self.iterations,
            "tolerance": self.tolerance,
            "plan_gradient": self.plan_gradient,
        }
        state = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        save_file(state, folder / TRANSPORT_FILE, metadata={"format": "pt", "transport": _FORMAT, "guide": json.dumps(told)})

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> TransportGuide:
        """Read what `save` wrote, in evaluation mode.

        Raises:
            UserError: the folder has none, or its file is broken or of a later version.
        """
        path = folder / TRANSPORT_FILE
        if not path.is_file():
            raise UserError(f"Checkpoint {folder} was not distilled with optimal transport: it has no {TRANSPORT_FILE}.", _REMEDY)
        try:
            with safe_open(path, framework="pt") as file:
                metadata: dict[str, Any] = file.metadata() or {}
                state = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  (no mapping)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read: {error}.", _REMEDY) from error
        if metadata.get("transport", _FORMAT) != _FORMAT:
            raise UserError(f"{path}: format {metadata['transport']} is not known (this version reads {_FORMAT}).", "Update reidclip.")
        try:
            guide = _guide_of(state, json.loads(metadata["guide"]))
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{path} is no guide by words: {str(error).splitlines()[0]}.", _REMEDY) from error
        check_finite(state, path)
        return guide.eval().to(device)


def _psi(given: int, hidden: int, width: int) -> nn.Sequential:
    if hidden == 0:
        return nn.Sequential(nn.Linear(given, width))
    return nn.Sequential(nn.Linear(given, hidden), nn.ReLU(), nn.Linear(hidden, width))


def _guide_of(state: dict[str, Tensor], told: dict[str, Any]) -> TransportGuide:
    """A guide with these tensors and settings. Raises what wrong ones lead to."""
    first, last = state["psi.0.weight"], state.get("psi.2.weight")
    spec, digest = told["teacher"]
    phrases = [(str(one), str(other)) for one, other in told["phrases"]]
    with torch.device("meta"):
        guide = TransportGuide(
            state["texts"].to("meta"),
            first.shape[0] if last is None else last.shape[0],
            hidden=0 if last is None else first.shape[0],
            regularisation=float(told["regularisation"]),
            iterations=int(told["iterations"]),
            tolerance=None if told["tolerance"] is None else float(told["tolerance"]),
            plan_gradient=bool(told["plan_gradient"]),
            teacher=(str(spec), str(digest)),
            phrases=phrases,
            template=str(told["template"]),
        )
    guide.load_state_dict(state, assign=True)
    return guide
