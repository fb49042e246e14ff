"""Every test owns its home, caches and store, and none reaches the network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported; several tests run beside each other
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home: Path = tmp_path_factory.mktemp("home")
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("REIDCLIP_STORE", str(home / "artifacts"))
    for variable in ("REIDCLIP_PLUGINS", "REIDCLIP_DEBUG"):
        monkeypatch.delenv(variable, raising=False)
