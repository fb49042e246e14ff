#!/usr/bin/env bash
# Every check, in the order in which a person wants to hear of them: style, types, architecture, tests. Sets up .venv when needed.
#   ./tests/run.sh            all checks and the fast tests
#   ./tests/run.sh -m slow    arguments go to pytest
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/setup.sh
setup_environment dev

ruff check .
ruff format --check .
mypy
lint-imports --no-cache
python -m pytest -n auto --maxprocesses 4 --dist loadfile --durations=15 "$@"   # whole files to one process: their fixtures are dear
