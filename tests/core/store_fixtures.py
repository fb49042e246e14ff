"""Small artifacts for the tests of the store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from reidclip.artifacts.manifest import InputRef
from reidclip.artifacts.store import Artifact, Store

PAYLOADS = {
    "parsing": "labels/a/1.png",
    "masks": "masks/a/1.png",
    "prompts": "prompts.safetensors",
    "checkpoint": "model.safetensors",
    "evaluation": "metrics.json",
}


class SurpriseError(Exception):
    """Anything that may go wrong while an artifact is filled."""


def make(store: Store, kind: str, name: str, *inputs: Artifact, content: bytes = b"payload") -> Artifact:
    """Commit an artifact of one payload file made from ``inputs``."""
    with store.create(kind, name) as draft:
        draft.write(PAYLOADS[kind], content)
        draft.describe(inputs=[InputRef.of(artifact, role=artifact.kind) for artifact in inputs])
    return draft.artifact


def start_python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a script in a fresh interpreter that can import the toolkit; its output is read by the caller."""
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, env=environment)


def age(path: Path, days: float) -> None:
    """Make a folder and all it holds look untouched for that long."""
    then = time.time() - days * 86400
    for each in (*path.rglob("*"), path):
        os.utime(each, (then, then))
