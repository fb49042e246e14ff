"""A table as steps that artifacts answer for: equal steps have equal names, so that nothing is made twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ablation.rows import Row
from ablation.table_file import MaskSource, TableFile
from reidclip import __version__
from reidclip.artifacts.names import safe_name
from reidclip.bodies.phrases import TEMPLATE
from reidclip.interfaces import DistillNeeds
from reidclip.records import Dataset
from reidclip.settings import resolve
from reidclip.stages.distill import teacher_settings
from reidclip.stages.read_descriptions import entering
from reidclip.train.settings import DistillSettings


@dataclass(frozen=True)
class Step:
    """One artifact that has to be there.

    Attributes:
        kind: of the artifact: "masks", "descriptions", "prompts", "checkpoint", "evaluation".
        label: how its name begins.
        facts: everything that the result depends on beside the inputs; plain values.
        inputs: the steps that it reads, by role.
        row: whose settings it takes (any of the rows that share it); None for masks. The teacher of a distilled row is a row of its own.
        source: of masks.
        seed: of a training.
    """

    kind: str
    label: str
    facts: Mapping[str, Any]
    inputs: Mapping[str, Step] = field(default_factory=dict)
    row: Row | None = None
    source: MaskSource | None = None
    seed: int = 0

    @cached_property
    def key(self) -> str:
        """Digest of facts and inputs."""
        told = {"kind": self.kind, "facts": self.facts, "inputs": {role: step.key for role, step in self.inputs.items()}}
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """Name of its artifact."""
        return f"{safe_name(self.label)[:60]}-{self.key}"

    @property
    def command(self) -> str | None:
        """The command that trains it; None for what is not trained."""
        trainings = {"prompts": "prompt-learn", "checkpoint": self.row.training if self.row else None}
        return trainings.get(self.kind)

    def line(self) -> Iterator[Step]:
        """Its inputs, deepest first, then itself."""
        for step in self.inputs.values():
            yield from step.line()
        yield self


class Planner:
    """From rows and seeds to steps.

    Args:
        table: whose rows they are.
        dataset: trained on.
        test: evaluated on.
        precision: of trainings and features.
        clip_digest: name of a CLIP -> digest of its weights: a file may be replaced under its name.
        target: name of the data set that a table of several targets leaves out here; artifacts are named after it.
    """

    def __init__(
        self, table: TableFile, dataset: Dataset, test: Dataset, precision: str, clip_digest: Callable[[str], str], target: str = ""
    ) -> None:
        self.table, self.dataset, self.test, self.precision, self.clip_digest = table, dataset, test, precision, clip_digest
        self.target, self._ending = target, f"-to-{target}" if target else ""
        self.parser_version = cache(_parser_version)  # opened once for all rows and seeds
        self._mesh_facts = cache(_mesh_facts)

    def evaluation(self, row: Row, seed: int) -> Step:
        """The last step of a row: everything before it hangs below."""
        facts = {
            **self._common(self.test, row),
            "settings": row.settings["evaluate"].model_dump(mode="json"),
            "protocols": [p.name for p in protocols_of(self.table, self.test)],
        }
        if row.method is None:
            return Step("evaluation", f"zero-shot{self._ending}", facts, row=row)
        checkpoint = self._checkpoint(row, seed)
        return Step("evaluation", checkpoint.label, facts, {"checkpoint": checkpoint}, row, seed=seed)

    def _checkpoint(self, row: Row, seed: int) -> Step:
        assert row.method is not None
        if row.needs is not None:
            return self._student(row, row.needs, seed)
        inputs = self._masks(row, "finetune")
        if "prompt-learn" in row.settings:
            inputs["prompts"] = self._prompts(row, seed if self.table.prompt_seed is None else self.table.prompt_seed)
        label = f"{row.method.name}-s{seed}{self._ending}"
        return Step("checkpoint", label, self._training(row, "finetune", seed), inputs, row, seed=seed)

    def _student(self, row: Row, needs: DistillNeeds, seed: int) -> Step:
        """A distillation: its teacher is the checkpoint of the same seed, or a CLIP that describes the pictures."""
        assert row.method is not None
        inputs, facts = self._masks(row, "distill"), self._training(row, "distill", seed)
        if row.teacher is not None:
            inputs["teacher"] = self._checkpoint(row.teacher, seed)
        if needs.live or needs.descriptions:
            facts["teacher"] = self.clip_digest(_settings_of(row).teacher)
        if needs.descriptions:
            inputs["descriptions"] = self._descriptions(row)
        if needs.meshes:
            facts["meshes"] = self._mesh_facts(self.table.meshes)
        return Step("checkpoint", f"{row.method.name}-s{seed}{self._ending}", facts, inputs, row, seed=seed)

    def _descriptions(self, row: Row) -> Step:
        settings = _settings_of(row)
        facts = {
            "toolkit": __version__,
            "data": self.dataset.fingerprint,
            "precision": self.precision,
            "teacher": self.clip_digest(settings.teacher),
            "splits": sorted(settings.train_splits),
            **entering(teacher_settings(settings), None),
            "template": sentence_of(settings),
        }
        return Step("descriptions", f"described{self._ending}", facts, row=row)

    def _prompts(self, row: Row, seed: int) -> Step:
        assert row.method is not None
        facts = self._training(row, "prompt-learn", seed)
        return Step("prompts", f"{row.method.name}-s{seed}{self._ending}", facts, self._masks(row, "prompt-learn"), row, seed=seed)

    def _masks(self, row: Row, command: str) -> dict[str, Step]:
        """The masks that a command of the row reads: one entry, or none."""
        if row.method is None or row.masks is None or not row.method.needs_masks(command, row.settings[command]):
            return {}
        source = self.table.masks[row.masks]
        told = source.model_dump(mode="json", exclude={"labels"})
        facts = {"toolkit": __version__, "data": self.dataset.fingerprint, **told, "labels": _content(source.labels)}
        if source.parser is not None:
            facts["weights"] = self.parser_version(source.parser, json.dumps(source.parse, sort_keys=True))
        return {"masks": Step("masks", f"masks-{row.masks}", facts, source=source)}

    def _training(self, row: Row, command: str, seed: int) -> dict[str, Any]:
        assert row.method is not None
        return {
            **self._common(self.dataset, row),
            "method": [row.method.name, row.method.version],
            "settings": row.settings[command].model_dump(mode="json"),
            "seed": seed,
        }

    def _common(self, dataset: Dataset, row: Row) -> dict[str, Any]:
        clip = self.clip_digest(row.clip)
        return {"toolkit": __version__, "data": dataset.fingerprint, "precision": self.precision, "clip": clip}


def _settings_of(row: Row) -> DistillSettings:
    settings = row.settings["distill"]
    assert isinstance(settings, DistillSettings)
    return settings


def sentence_of(settings: DistillSettings) -> str:
    """The sentence of the descriptions: the method's own, where it has one."""
    return str(getattr(settings, "template", TEMPLATE))


def protocols_of(table: TableFile, test: Dataset) -> tuple[Any, ...]:
    """The protocols that are reported."""
    from reidclip.evaluation.protocols import find_protocol

    if table.protocols:
        return tuple(find_protocol(test, name) for name in table.protocols)
    return tuple(p for p in test.protocols if not p.single_shot_repeats)


def _parser_version(name: str, settings: str) -> str:
    """Version of a parser's weights: other weights behind the same settings make other masks."""
    import torch

    from reidclip import registry
    from reidclip.interfaces import Parser
    from reidclip.stages.parse import GROUP

    parser: Parser = registry.get(GROUP, name)
    resolved = resolve(parser.settings, json.loads(settings), where=f"settings of parser {name}", plugin=name)
    return parser.open(resolved, torch.device("cpu")).version


def _mesh_facts(folder: Path | None) -> list[str]:
    from reidclip.bodies.mesh_set import open_meshes

    assert folder is not None, "rows_of refuses a table that names no meshes where a row needs them"
    meshes = open_meshes(folder)
    return [meshes.dataset.fingerprint, meshes.table.version]


def _content(folder: Path | None) -> str | None:
    """Names and sizes of the label maps in a folder, digested: cheap, and another set of maps gives another one."""
    if folder is None:
        return None
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\t{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]
