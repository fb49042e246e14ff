"""What the networks of a table cost at test time: exact counts, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ablation.cells import cell, told
from ablation.results import RowResult
from ablation.scores import METRICS
from reidclip.artifacts.store import Artifact
from reidclip.clip.inference import CONFIG_FILE, WEIGHTS_FILE, InferenceEncoder
from reidclip.profiling.count import count_flops, count_parameters


@dataclass(frozen=True)
class NetworkCost:
    """Of one encoder as inference uses it.

    Attributes:
        parameters: numbers in them.
        flops: operations per picture, a multiplication and its addition as two.
        width: length of a feature.
        image_size: (height, width) in pixels.
    """

    parameters: int
    flops: int
    width: int
    image_size: tuple[int, int]

    @classmethod
    def of(cls, checkpoint: Artifact) -> NetworkCost:
        """Count one checkpoint. Raises `WorkError` where a file of it is damaged."""
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            checkpoint.file(name)
        encoder = InferenceEncoder.load(checkpoint.path)
        size = encoder.image_encoder.config.image_size
        return cls(count_parameters([encoder]), count_flops(encoder), encoder.width, (size[0], size[1]))


class NetworkCosts:
    """Keeps what it has counted: all seeds of a row have one network, and a table is written after every evaluation."""

    def __init__(self) -> None:
        self._known: dict[str, NetworkCost] = {}

    def of(self, checkpoints: Mapping[str, Artifact]) -> dict[str, NetworkCost]:
        """Row name -> any of its checkpoints, to row name -> cost."""
        for name, checkpoint in checkpoints.items():
            if name not in self._known:
                self._known[name] = NetworkCost.of(checkpoint)
        return {name: self._known[name] for name in checkpoints}


def as_json(costs: Mapping[str, NetworkCost]) -> dict[str, Any]:
    """Plain values by row."""
    return {name: asdict(cost) for name, cost in costs.items()}


def section(results: Sequence[RowResult], costs: Mapping[str, NetworkCost], protocols: Sequence[str], heading: str) -> str:
    """What a row's network costs beside what it reaches, R1 and mAP of every protocol."""
    reached = [f"{protocol} {metric}" for protocol in protocols for metric in METRICS]
    lines = [
        heading,
        "",
        f"| row | parameters, millions | GFLOPs per picture | input | feature | {' | '.join(reached)} |",
        "|---" * (5 + len(reached)) + "|",
    ]
    for result in results:
        cost = costs.get(result.row.name)
        if cost is not None:
            height, width = cost.image_size
            counted = [f"{cost.parameters / 1e6:.2f}", f"{cost.flops / 1e9:.3g}", f"{height}x{width}", str(cost.width)]
            numbers = [told(result.values[protocol][metric]) for protocol in protocols for metric in METRICS]
            lines.append(f"| {' | '.join([cell(result.row.name), *counted, *numbers])} |")
    return "\n".join(lines)
