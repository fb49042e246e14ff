"""Every test owns its home, caches and store, and none reaches the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium as chromium  # fixtures of all tests that look at a page
from tests.browser import visit as visit

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported; several tests run beside each other
os.environ["HF_HUB_OFFLINE"] = "1"

DEAR = (
    "core/test_parallel.py",
    "cli/test_resume.py",
    "cli/test_errors.py",
    "cli/test_training.py",
    "plugins/test_minimal_plugin.py",
    "core/test_parse_scale.py",
    "examples/test_synthcc_gates.py",
    "parity/test_clip_parity.py",
    "parity/test_import_parity.py",
    "cli/test_layout_pipelines.py",
    "parity/test_fgdi_parity.py",
    "plugins/test_schp_full.py",
    "parity/test_schp_parity.py",
    "examples/test_ablation.py",
    "cli/test_open_clip_is_absent.py",
)
"""Files that take longest, longest first: begun last, one of them would keep one process busy while the others have nothing left."""


def pytest_configure(config: pytest.Config) -> None:
    """By itself xdist begins with the files of most tests, which are not those that take longest."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The dear files first, all else in its order."""
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(DEAR)}
    items.sort(key=lambda item: place.get(item.path, len(DEAR)))


@pytest.fixture(autouse=True, scope="session")
def _unsynced() -> Iterator[None]:
    """Nothing here outlives a power cut, and waiting for the disk ten times an artifact took a quarter of the tests' time. That the calls
    are made, and what becomes of their errors, is tested by replacing them (tests/core/test_store_failures.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home: Path = tmp_path_factory.mktemp("home")
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("REIDCLIP_STORE", str(home / "artifacts"))
    for variable in ("REIDCLIP_PLUGINS", "REIDCLIP_DEBUG"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def _speaking() -> None:
    """A command run with -q inside the test process silences it for good."""
    from reidclip.cli.console import set_quiet

    set_quiet(False)


@pytest.fixture(scope="session")
def filled_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A full SCHP checkpoint of deterministic weights; nonsense labels, right plumbing. Removed again: it is large."""
    from tests.plugins.schp_fixtures import write_filled_checkpoint

    path = write_filled_checkpoint(tmp_path_factory.mktemp("schp") / "exp-schp-201908261155-lip.pth")
    yield path
    path.unlink()
