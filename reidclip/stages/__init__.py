"""The library twins of the commands, callable from a notebook."""
