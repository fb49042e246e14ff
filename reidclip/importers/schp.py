"""Checkpoints of SCHP (Li et al., TPAMI 2020): checked by the parser that runs them, and kept as safetensors."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from reidclip import registry
from reidclip.importers.content import Content
from reidclip.importers.imported import Imported
from reidclip.importers.options import ImportOptions
from reidclip.importers.recognise import SCHP
from reidclip.interfaces import Parser

PARSER_FILE = "parser.safetensors"


def read(content: Content, options: ImportOptions) -> Imported:
    """Weights for ``reidclip parse --parser schp --weights FILE``; the options do not apply.

    Raises:
        UserError: the parser is not installed, or refuses the file.
    """
    parser: Parser = registry.get("reidclip.parsers", SCHP)
    session = parser.open(parser.settings.model_validate({"weights": content.path}), torch.device("cpu"))
    return Imported(
        kind=SCHP,
        method=session.name,
        holds="parser",
        facts={"parser": session.name, "version": session.version, "labels": list(session.labels)},
        write=partial(_write, content),
        notes=("A human parser, not an image encoder: `reidclip parse` and `mask` read it, `evaluate` does not.",),
    )


def _write(content: Content, folder: Path) -> None:
    save_file({key: value.clone().contiguous() for key, value in content.tensors.items()}, folder / PARSER_FILE, metadata={"format": "pt"})
