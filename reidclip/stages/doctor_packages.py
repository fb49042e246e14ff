"""Which packages are there, in which versions, and what each missing extra would add; read from metadata, nothing is imported."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from reidclip import __version__
from reidclip.stages.doctor_finding import Finding, State

USES = {
    "bake": "baking the body asset anew (examples/bake_bodies)",
    "blip": "BLIP's encoders as towers",
    "cuhk03": "CUHK03's .mat files",
    "grid": "GRID's divisions",
    "index": "gallery indexes by faiss: reidclip index, search, serve",
    "milvus": "gallery indexes in Milvus: a local file, or a cluster",
    "onnx": "reidclip export --format onnx, and its verification",
    "parquet": "reidclip extract also writes Parquet",
    "serve": "reidclip serve: the local page and its API",
    "tokenizers": "tokenizers of SigLIP, CLIPA and multilingual CLIPs",
    "tsne": "maps by t-SNE in place of principal components",
}
"""What each extra of pyproject.toml adds, in a few words."""

FOR_DEVELOPERS = ("dev",)
_MODULES = {
    "faiss-cpu": "faiss",
    "open-clip-torch": "open_clip",
    "opencv-python": "cv2",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
}  # where it is not the distribution's own name
_ALSO = {
    "faiss-cpu": ("faiss-gpu-cu12", "faiss-gpu"),
    "onnxruntime": ("onnxruntime-gpu",),
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "pillow": ("pillow-simd",),
}  # other distributions of the same module
_REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)(\[[^\]]*\])?\s*(>=\s*(?P<least>[\w.]+))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"]")
_PYTHON = re.compile(r"python_version\s*<\s*['\"](?P<below>[\d.]+)['\"]")


@dataclass(frozen=True)
class Requirement:
    """A distribution that the toolkit, or one of its extras, asks for; ``least`` is "" for any version."""

    name: str
    least: str
    extra: str


@dataclass(frozen=True)
class Installed:
    """A distribution here: its version, None where it is missing, "?" where only its module is there; and whether it is new enough."""

    requirement: Requirement
    version: str | None
    enough: bool

    @property
    def told(self) -> str:
        """ "faiss-cpu 1.9.0", and what is the matter with it."""
        name, least = self.requirement.name, self.requirement.least
        if self.version is None:
            return f"{name} missing"
        return f"{name} {self.version}" if self.enough else f"{name} {self.version}, older than {least}"


def requirements() -> list[Requirement]:
    """What the installed toolkit's metadata asks for on this version of Python."""
    found = []
    for text in requires("reidclip") or ():
        python = _PYTHON.search(text)
        if python and sys.version_info[:2] >= _numbers(python["below"])[:2]:
            continue
        match, extra = _REQUIREMENT.match(text), _EXTRA.search(text)
        if match:
            found.append(Requirement(match["name"], match["least"] or "", extra["extra"] if extra else ""))
    return found


def look_up(requirement: Requirement) -> Installed:
    """Whether it is there; another distribution of the same module (opencv-python-headless) counts as well."""
    module = _MODULES.get(requirement.name, requirement.name.replace("-", "_"))
    try:
        there = find_spec(module) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        return Installed(requirement, None, False)
    for name in (requirement.name, *_ALSO.get(requirement.name, ())):
        try:
            here = version(name)
        except PackageNotFoundError:
            continue
        return Installed(requirement, here, _numbers(here) >= _numbers(requirement.least))
    return Installed(requirement, "?", True)


def versions() -> Iterator[Finding]:
    """Python, the toolkit, and what it cannot do without."""
    yield Finding("versions", "reidclip", "ok", __version__, facts={"version": __version__})
    told = f"{platform.python_version()} ({platform.python_implementation()}), {platform.platform()}"
    yield Finding("versions", "python", "ok", told, facts={"version": platform.python_version(), "platform": platform.platform()})
    for found in (look_up(r) for r in requirements() if not r.extra):
        name, facts = found.requirement.name, {"version": found.version, "at_least": found.requirement.least}
        state: State = "broken" if found.version is None else "ok" if found.enough else "warning"
        remedy = "" if state == "ok" else f"pip install -U {name}"
        yield Finding("versions", name, state, found.told.removeprefix(f"{name} "), remedy, facts)


def extras() -> Iterator[Finding]:
    """Every extra for users: what it adds, whether it is there, and how to get it."""
    wanted = requirements()
    for extra in sorted({r.extra for r in wanted if r.extra} - set(FOR_DEVELOPERS)):
        parts = [look_up(r) for r in wanted if r.extra == extra]
        missing, old = [p for p in parts if p.version is None], [p for p in parts if p.version is not None and not p.enough]
        state: State = "absent" if missing else "warning" if old else "ok"
        use = USES.get(extra, "")
        told = f"{use}{': ' if use else ''}{', '.join(p.told for p in parts)}"
        facts = {"use": use, "packages": {p.requirement.name: p.version for p in parts}}
        yield Finding("extras", extra, state, told, "" if state == "ok" else f"pip install -U 'reidclip[{extra}]'", facts)


def _numbers(told: str) -> tuple[int, ...]:
    """The release's numbers, "2.10.1+cpu" -> (2, 10, 1), without zeros at the end."""
    match = re.match(r"\d+(\.\d+)*", told)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
