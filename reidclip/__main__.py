"""``python -m reidclip``, also the entry for torchrun."""

from reidclip.cli.entry import main

main()
