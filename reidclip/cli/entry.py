"""Where the process starts: imports the command line inside a guard, so that Ctrl-C in the first instants is no traceback either."""

from __future__ import annotations

import sys


def main() -> None:
    """Console entry point."""
    try:
        from reidclip.cli.app import main as run
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    run()
