"""``reidclip doctor`` as a function: what is here, what is missing, what is broken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from reidclip.stages import doctor_machine, doctor_packages, doctor_store, doctor_weights
from reidclip.stages.doctor_finding import Finding
from reidclip.stages.plugins import all_plugins

SECTIONS = ("versions", "devices", "weights", "plugins", "extras", "video", "processes", "store", "disk")


def examine(store: Path, verify: bool = False, progress: Callable[[int, int], None] | None = None) -> Iterator[Finding]:
    """All findings, section by section in the order of `SECTIONS`.

    Args:
        store: folder of artifacts; it need not be there.
        verify: read every payload file of the store and compare its digest.
        progress: told of that: artifacts done, in all.
    """
    yield from doctor_packages.versions()
    yield from doctor_machine.devices()
    yield from doctor_weights.weights()
    yield from plugins()
    yield from doctor_packages.extras()
    yield from doctor_machine.video()
    yield from doctor_machine.processes()
    yield from doctor_store.store(store, verify, progress)
    yield from doctor_machine.disk(store)


def plugins() -> Iterator[Finding]:
    """One line per kind of plugin that work, and one for each that does not load."""
    infos = all_plugins()
    for group in dict.fromkeys(info.group for info in infos):
        names = [
            i.name if i.distribution == "reidclip" else f"{i.name} ({i.distribution})" for i in infos if i.group == group and not i.error
        ]
        yield Finding("plugins", group.rpartition(".")[2], "ok", ", ".join(names) or "none that loads", facts={"names": names})
    for info in infos:
        if info.error:
            told = f"{info.target} of {info.distribution} cannot be loaded: {' '.join(info.error.split())}"
            remedy = f"Mend it, or uninstall it: pip uninstall {info.distribution}"
            facts = {"group": info.group, "distribution": info.distribution, "error": info.error}
            yield Finding("plugins", info.name, "broken", told, remedy, facts)
    if "REIDCLIP_PLUGINS" in os.environ:
        yield Finding(
            "plugins", "REIDCLIP_PLUGINS", "warning", "is set: plugins that it does not name are left out", "Unset it to see all."
        )
