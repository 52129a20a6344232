"""The commands, without parsing and printing: one file per command."""
