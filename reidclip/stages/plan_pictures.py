"""What parse and mask will do, decided before anything is written: which data, parser, settings, label maps and names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from reidclip import registry
from reidclip.artifacts.manifest import MANIFEST
from reidclip.artifacts.names import check_name
from reidclip.artifacts.store import Artifact, Store
from reidclip.data.label_set_file import label_set_for
from reidclip.data.label_sets import Clothes, choose_clothes, named_set
from reidclip.data.open_several import Layouts, Roots, open_all_pictures
from reidclip.errors import UserError
from reidclip.interfaces import Parser, ParserSession
from reidclip.records import Dataset
from reidclip.settings import Settings, parse_assignments, resolve
from reidclip.stages.choose import Say
from reidclip.stages.config_file import beside, read_config
from reidclip.stages.label_maps import LabelMaps
from reidclip.stages.mask import MaskSettings, find_maps, fitting_parsing, mask
from reidclip.stages.mask import default_name as default_mask_name
from reidclip.stages.parse import GROUP, Progress, default_name, parse
from reidclip.stages.pictures import OnError, picture_paths
from reidclip.stages.reopen import reopened
from reidclip.stages.sources import described_data, roots_by_domain
from reidclip.train.device import pick_device

DEFAULT_PARSER = "schp"


@dataclass(frozen=True)
class ParsePlan:
    """One call of `parse`."""

    dataset: Dataset
    parser: Parser
    settings: Settings
    store: Store
    name: str | None
    device: torch.device
    workers: int | None
    on_error: OnError

    @cached_property
    def session(self) -> ParserSession:
        """The parser with its weights loaded, once."""
        return self.parser.open(self.settings, self.device)

    @property
    def output(self) -> str:
        """Name of the artifact."""
        return self.name or default_name(self.session.name, self.dataset)

    def plan(self) -> dict[str, Any]:
        """What ``--dry-run`` prints."""
        return {
            "command": "parse",
            "data": {**described_data(self.dataset), "pictures": len(picture_paths(self.dataset)), **roots_by_domain(self.dataset)},
            "parser": {"name": self.session.name, "version": self.session.version, "settings": self.settings.model_dump(mode="json")},
            "device": str(self.device),
            "on_error": self.on_error,
            "writes": f"parsing/{self.output}",
        }

    def run(self, progress: Progress = lambda done, total: None) -> Artifact:
        """Parse; see `reidclip.stages.parse.parse`."""
        return parse(
            self.dataset,
            self.session,
            self.store,
            settings=self.settings,
            name=self.name,
            device=self.device,
            workers=self.workers,
            on_error=self.on_error,
            progress=progress,
        )


@dataclass(frozen=True)
class MaskPlan:
    """One call of `mask`, after a parsing where there are no label maps yet."""

    dataset: Dataset
    settings: MaskSettings
    store: Store
    name: str | None
    preview: bool
    clothes: Clothes
    label_maps: LabelMaps | None  # None: parse first
    parse_plan: ParsePlan | None

    def plan(self) -> dict[str, Any]:
        """What ``--dry-run`` prints."""
        maps = self.label_maps
        where = None if maps is None else f"parsing/{maps.artifact.ref}" if maps.artifact else str(maps.folder)
        name = default_mask_name(maps, self.dataset) if maps else self.parse_plan.output if self.parse_plan else ""
        return {
            "command": "mask",
            "data": {**described_data(self.dataset), "pictures": len(picture_paths(self.dataset)), **roots_by_domain(self.dataset)},
            "label_maps": where,
            "left_out": len(maps.missing) if maps else 0,
            "label_set": {"name": self.clothes.label_set.name, "from": maps.reason if maps else "the parser's labels"},
            "labels": list(self.clothes.label_set.labels),
            "clothes": list(self.clothes.names),
            "first": self.parse_plan.plan() if maps is None and self.parse_plan is not None else None,
            "settings": self.settings.model_dump(mode="json"),
            "preview": self.preview,
            "writes": f"masks/{self.name or name}",
        }

    def parse(self, progress: Progress = lambda done, total: None) -> Artifact:
        """The parsing that the masks wait for; only where ``label_maps`` is None."""
        if self.parse_plan is None:
            raise ValueError("there are label maps already")
        return self.parse_plan.run(progress)

    def run(self, label_maps: Artifact | LabelMaps, progress: Progress = lambda done, total: None) -> Artifact:
        """Make the masks; see `reidclip.stages.mask.mask`."""
        return mask(self.dataset, label_maps, self.store, settings=self.settings, name=self.name, preview=self.preview, progress=progress)


def plan_parse(
    data: Roots | None,
    store: Store,
    *,
    parser: str = DEFAULT_PARSER,
    layout: Layouts = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    name: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    on_error: OnError = "fail",
    say: Say = lambda text: None,
) -> ParsePlan:
    """Decide everything about a parsing.

    Args:
        data: folder of pictures or of a data set, or several, which are joined; None takes the data of the newest parsing.
        store: where the artifact goes.
        parser: name of a registered parser.
        layout: of the data, one or as many as folders; None recognises it, or takes all pictures below the folder.
        config: TOML file; its table ``[parse]`` holds the parser's settings.
        assignments: settings of the parser, ``key=value``.
        name: of the artifact; None makes it from parser and data set.
        device: cpu, cuda, ...; auto.
        workers: processes that decode pictures.
        on_error: what happens at a broken picture.
        say: is told every choice made for the caller.

    Raises:
        UserError: anything that does not fit.
    """
    chosen: Parser = registry.get(GROUP, parser)
    settings = _settings("parse", chosen.settings, config, parse_assignments(assignments), f"settings of parser {parser}", parser)
    dataset = pictures_for(data, layout, store, say)
    return ParsePlan(dataset, chosen, settings, store, name and check_name(name), pick_device(device), workers, on_error)


def plan_mask(
    data: Roots | None,
    store: Store,
    *,
    parser: str = DEFAULT_PARSER,
    parsing: str | None = None,
    label_set: str | None = None,
    layout: Layouts = None,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    name: str | None = None,
    preview: bool = False,
    device: str = "auto",
    workers: int | None = None,
    on_error: OnError = "fail",
    say: Say = lambda text: None,
) -> MaskPlan:
    """Decide everything about masks; arguments as in `plan_parse`, and

    Args:
        data: None takes the data of the parsing named, else of the newest one.
        store: where artifacts are read and written.
        parser: parses what is not parsed yet.
        parsing: reference of a parsing artifact, or a folder of label maps made elsewhere; None takes the newest fitting artifact, and
            parses when there is none.
        label_set: of label maps made elsewhere, see `reidclip.data.label_set_file.label_set_for`; None infers it.
        layout: of the data.
        config: TOML file; tables ``[mask]`` and, for the parser, ``[parse]``.
        assignments: settings of the masks, ``key=value``; those of the parser begin with ``parse.``.
        name: of the masks.
        preview: also write a contact sheet.
        device: of the parser.
        workers: of the parser.
        on_error: at a picture that the parser cannot read, or without a label map.
        say: is told every choice made for the caller.

    Raises:
        UserError: anything that does not fit.
    """
    values = parse_assignments(assignments)
    for_parser = values.pop("parse", {})
    if not isinstance(for_parser, dict):
        raise UserError(f"Setting 'parse' is no value (given: {for_parser!r}).", "Name a setting of the parser: --set parse.batch_size=8.")
    settings: MaskSettings = _settings("mask", MaskSettings, config, values, "mask settings")
    source = None if parsing is None else _label_maps(parsing, store)
    if label_set is not None and not isinstance(source, Path):
        raise UserError("--label-set is for label maps made elsewhere; a parser brings its own.", "Add --parsing FOLDER, or leave it out.")
    own_set = None if label_set is None else label_set_for(label_set)
    if not data and isinstance(source, Artifact) and source.manifest.dataset is not None:
        dataset = reopened(source, say, layout, newest=False)
    else:
        dataset = pictures_for(data, layout, store, say)
    finished = partial(MaskPlan, dataset, settings, store, name and check_name(name), preview)
    if isinstance(source, Path):
        maps = LabelMaps.of_folder(source, dataset, label_set=own_set, on_error=on_error, resize=settings.resize, colours=settings.colours)
        say(f"label set: {maps.label_set.name} ({maps.reason})")
        return finished(choose_clothes(maps.label_set, settings.clothes), maps, None)
    if source is not None:
        return finished(*_of_artifact(source, dataset, settings), None)
    return _after_parsing(finished, dataset, settings, parser, config, for_parser, store, device, workers, on_error, say)


def _of_artifact(parsing: Artifact, dataset: Dataset, settings: MaskSettings) -> tuple[Clothes, LabelMaps]:
    maps = find_maps(dataset, parsing, settings)
    return choose_clothes(maps.label_set, settings.clothes), maps


def _after_parsing(
    finished: Callable[..., MaskPlan],
    dataset: Dataset,
    settings: MaskSettings,
    parser: str,
    config: Path | None,
    for_parser: dict[str, Any],
    store: Store,
    device: str,
    workers: int | None,
    on_error: OnError,
    say: Say,
) -> MaskPlan:
    """Masks from the newest parsing of this data and parser, or from one that is made first."""
    chosen: Parser = registry.get(GROUP, parser)
    parser_settings = _settings("parse", chosen.settings, config, for_parser, f"settings of parser {parser}", parser)
    plan = ParsePlan(dataset, chosen, parser_settings, store, None, pick_device(device), workers, on_error)
    parsing = fitting_parsing(dataset, plan.session, parser_settings, store)
    if parsing is not None:
        say(f"parsing: {parsing.ref} (the newest of this data and parser)")
        return finished(*_of_artifact(parsing, dataset, settings), plan)
    # What is clothes must be settled before the hours that a parsing may take.
    clothes = choose_clothes(named_set(plan.session.labels, plan.session.name), settings.clothes)
    say(f"parsing: none of this data by {plan.session.name} yet, so its {len(picture_paths(dataset))} pictures are parsed first")
    return finished(clothes, None, plan)


def pictures_for(data: Roots | None, layout: Layouts, store: Store, say: Say) -> Dataset:
    """The pictures named, else those of the newest parsing (or masks)."""
    if data:
        return open_all_pictures(data, layout)
    for kind in ("parsing", "masks"):
        artifact = store.newest(kind, lambda m: m.dataset is not None)
        if artifact is not None:
            return reopened(artifact, say, layout, newest=True)
    raise UserError(f"No pictures were named, and no parsing in {store.root} says which.", "Name their folder, for example data/prcc.")


def _settings(command: str, model: type[Settings], config: Path | None, values: dict[str, Any], where: str, parser: str = "") -> Any:
    layers = [] if config is None else [read_config(config, command, model)]
    return resolve(model, *layers, values, where=f"{where}{beside(config)}", plugin=parser or None)


def _label_maps(parsing: str, store: Store) -> Artifact | Path:
    """A folder without a manifest holds label maps made elsewhere; anything else names an artifact."""
    folder = Path(parsing)
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        return folder
    try:
        return store.open(parsing, kind="parsing")
    except UserError as error:
        if folder.exists():
            raise
        raise UserError(f"{error.what} There is no folder of label maps '{parsing}' either.", error.remedy) from error
