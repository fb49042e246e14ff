"""What the artifact was made with, read from package metadata so that nothing heavy is imported."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from reidclip.artifacts.manifest import Environment


def capture_environment(device: str | None) -> Environment:
    """Versions and platform of this process; ``device`` is the name of the compute device used."""
    return Environment(
        python=platform.python_version(),
        torch=_installed("torch"),
        open_clip=_installed("open_clip_torch"),
        device=device,
        platform=platform.platform(),
    )


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
