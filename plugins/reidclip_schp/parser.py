"""The object behind the entry point ``reidclip.parsers: schp``. Importing it loads no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reidclip.errors import UserError
from reidclip.interfaces import ParserSession
from reidclip.settings import Settings
from reidclip_schp.settings import SchpSettings

if TYPE_CHECKING:
    import torch

BUNDLED_WEIGHTS = Path(__file__).parent / "weights" / "schp-tiny.safetensors"


@dataclass
class SchpParser:
    """Parser `schp`: the full network with ``weights``, else `schp-tiny`; the session's name says which one runs."""

    name: str = "schp"
    title: str = "SCHP (Li et al., TPAMI 2020), given a checkpoint of its authors; without one the small bundled schp-tiny"
    settings: type[Settings] = SchpSettings

    def open(self, settings: Settings, device: torch.device) -> ParserSession:
        """Load the network; which one the weights are for is seen from the file.

        Raises:
            UserError: the weights are missing, are no checkpoint, are damaged or do not fit.
        """
        if not isinstance(settings, SchpSettings):
            raise UserError(f"Settings of type {type(settings).__name__} are not for the parser schp.", "Build them from SchpSettings.")
        from reidclip_schp.session import FullSession
        from reidclip_schp.tiny_session import TinySession
        from reidclip_schp.tiny_weights import holds_tiny

        weights = _weights_path(settings.weights)
        if settings.weights is None or holds_tiny(weights):
            return TinySession.open(weights, settings, device)
        return FullSession.open(weights, settings, device)


def _weights_path(given: Path | None) -> Path:
    if given is None:
        if not BUNDLED_WEIGHTS.is_file():
            raise UserError(f"The bundled weights are missing: {BUNDLED_WEIGHTS}.", "Install reidclip again.")
        return BUNDLED_WEIGHTS
    if not given.is_file():
        raise UserError(f"No weights file at {given}.", "Check --weights, or leave it out to use schp-tiny.")
    if not os.access(given, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UserError(f"{given} cannot be read: permission denied.", "Change the file's permissions, or copy it.")
    return given


PARSER = SchpParser()
