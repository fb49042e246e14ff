"""reidclip: CLIP-based person re-identification, cloth-changing first. Importing this loads nothing heavy."""

from __future__ import annotations

from reidclip.errors import ReidclipError, UserError, WorkError
from reidclip.records import Dataset, Protocol, Sample

__version__ = "0.1.0"
__all__ = ["Dataset", "Protocol", "ReidclipError", "Sample", "UserError", "WorkError", "__version__"]
