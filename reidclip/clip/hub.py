"""The Hugging Face hub's cache, asked without waiting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants

_SECONDS = 10.0


def cached_file(repository: str, files: Sequence[str]) -> Path | None:
    """The first of these files of a repository that lies in the hub's cache; the network is not asked."""
    found = (huggingface_hub.try_to_load_from_cache(repository, file) for file in files) if repository else ()
    return next((Path(path) for path in found if isinstance(path, str)), None)


def ask(repository: str) -> None:
    """One question to the hub with a short limit; raises what the client raises where there is no network.

    Where there is none, the hub's own client tries again for most of a minute before it says so.
    """
    huggingface_hub.get_session().head(f"{huggingface_hub.constants.ENDPOINT}/{repository}", timeout=_SECONDS)
