"""Says which reference vectors a parity run compares with, and stops early when there are none."""

from __future__ import annotations

import pytest

from tests.parity import fixtures


def pytest_report_header() -> str:
    return f"parity vectors: {fixtures.folder()}"


@pytest.fixture(scope="session", autouse=True)
def _folder_exists() -> None:
    if not fixtures.folder().is_dir():
        pytest.fail(f"no parity vectors in {fixtures.folder()}: check REIDCLIP_PARITY_DIR")
