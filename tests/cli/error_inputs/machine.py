"""What the machine does: full disks, missing rights, Ctrl-C, no network, broken plugins, an output folder in use."""

from __future__ import annotations

import errno
import json
import os
import socket
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from PIL import Image

from tests.cli.error_inputs.place import Place


def disk_full(place: Place, argument: str) -> None:
    """The disk is full when files are to be brought onto it."""

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place.patch.setattr(os, "fsync", full)


def disk_full_while_rendering(place: Place, argument: str) -> None:
    """The disk is full when a picture is written."""

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place.patch.setattr(Image.Image, "save", full)


def no_right(place: Place, argument: str) -> Path:
    """Nobody may read (or write) the file or folder named; ``no_right:picture`` is one of the pictures."""
    path = place.picture() if argument == "picture" else place.root / argument
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.mkdir()
    path.chmod(0)
    place.unprivileged = True
    return path


def read_only(place: Place, argument: str) -> Path:
    """The folder may be read and not written."""
    path = place.root / argument
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o555)
    place.unprivileged = True
    return path


def ctrl_c(place: Place, argument: str) -> None:
    """Ctrl-C while the third picture is opened."""
    count = 0
    original = Image.open

    def image_open(*arguments: Any, **options: Any) -> Image.Image:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    place.patch.setattr(Image, "open", image_open)


def ctrl_c_in_training(place: Place, argument: str) -> None:
    """Ctrl-C while a batch is at work."""
    from reidclip.train import loop

    place.patch.setattr(loop, "step", _interrupted)


def ctrl_c_in_mask(place: Place, argument: str) -> None:
    """Ctrl-C while a mask is written."""
    from reidclip.stages import mask

    place.patch.setattr(mask, "write_mask_png", _interrupted)


def ctrl_c_in_synth(place: Place, argument: str) -> None:
    """Ctrl-C while a person is rendered."""
    from reidclip.synth import writer

    place.patch.setattr(writer, "photographs", _interrupted)


def _interrupted(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def no_network(place: Place, argument: str) -> None:
    """Every connection is refused at once, and the hub has not been told."""
    import huggingface_hub.constants

    def refuse(*arguments: object, **options: object) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    place.patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    place.patch.setattr(socket, "create_connection", refuse)
    place.patch.setattr(socket.socket, "connect", refuse)
    place.patch.setattr(socket, "getaddrinfo", refuse)


def used_output(place: Place, argument: str) -> Path:
    """An output folder that holds somebody's files."""
    path = place.root / "out"
    path.mkdir()
    (path / "thesis.tex").write_text("\\documentclass{book}\n")
    return path


def other_render(place: Place, argument: str) -> Path:
    """An output folder with a rendered set of other parameters."""
    path = place.root / "out"
    path.mkdir()
    (path / "synth.json").write_text(json.dumps({"layout": "prcc", "ids": 7}))
    return path


def broken_render(place: Place, argument: str) -> Path:
    """An output folder whose record of the rendering is damaged."""
    path = place.root / "out"
    path.mkdir()
    (path / "synth.json").write_text("{")
    return path


def output_is_a_file(place: Place, argument: str) -> Path:
    """A file where the data set should be written."""
    path = place.root / "out"
    path.write_text("a file\n")
    return path


def broken_plugin(place: Place, argument: str) -> None:
    """``broken_plugin:GROUP:NAME``: a plugin of another distribution that cannot be imported."""
    from reidclip import registry

    group, _, name = argument.partition(":")
    original = registry._entry_points

    def entry_points(asked: str, restrict: str | None) -> dict[str, EntryPoint]:
        found = original(asked, restrict)
        return {**found, name: EntryPoint(name, "no_such_module:PLUGIN", asked)} if asked == f"reidclip.{group}" else found

    place.patch.setattr(registry, "_entry_points", entry_points)


BUILDERS = (
    disk_full,
    disk_full_while_rendering,
    no_right,
    read_only,
    ctrl_c,
    ctrl_c_in_training,
    ctrl_c_in_mask,
    ctrl_c_in_synth,
    no_network,
    used_output,
    other_render,
    broken_render,
    output_is_a_file,
    broken_plugin,
)
