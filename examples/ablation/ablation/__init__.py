"""Runs a table of methods, switches and seeds, and tells how sure its differences are. See README.md one folder up."""
