"""The object behind the entry point ``reidclip.parsers: schp``. Importing it loads no torch."""

from __future__ import annotations

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
    """Parser `schp`; without weights of its own it runs `schp-tiny` and says so by its session's name."""

    name: str = "schp"
    title: str = "SCHP (Li et al., TPAMI 2020) label set; bundled network: schp-tiny"
    settings: type[Settings] = SchpSettings

    def open(self, settings: Settings, device: torch.device) -> ParserSession:
        """Load the network.

        Raises:
            UserError: the weights are missing, are a full SCHP checkpoint, or do not fit.
        """
        from reidclip_schp.session import TinySession

        if not isinstance(settings, SchpSettings):
            raise UserError(f"Settings of type {type(settings).__name__} are not for the parser schp.", "Build them from SchpSettings.")
        return TinySession.open(_weights_path(settings.weights), settings, device)


def _weights_path(given: Path | None) -> Path:
    if given is None:
        if not BUNDLED_WEIGHTS.is_file():
            raise UserError(f"The bundled weights are missing: {BUNDLED_WEIGHTS}.", "Install reidclip again.")
        return BUNDLED_WEIGHTS
    if not given.is_file():
        raise UserError(f"No weights file at {given}.", "Check --weights, or leave it out to use schp-tiny.")
    if given.suffix != ".safetensors":
        raise UserError(f"{given}: full SCHP checkpoints are not supported by this version yet.", "Leave --weights out to use schp-tiny.")
    return given


PARSER = SchpParser()
