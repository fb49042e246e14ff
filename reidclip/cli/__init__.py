"""The command line: one file per command, options -> stage -> summary line."""
