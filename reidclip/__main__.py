"""``python -m reidclip``, also the entry for torchrun."""

from reidclip.cli.app import main

main()
