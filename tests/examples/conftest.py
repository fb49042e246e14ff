"""The programs in examples/ are run from their own folder; their packages are found there."""

from __future__ import annotations

import sys

from tests.fakes import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "examples" / "ablation"))
