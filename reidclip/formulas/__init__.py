"""Paper-neutral mathematics as pure functions; methods give them their equation numbers."""
