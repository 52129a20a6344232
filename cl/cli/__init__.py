"""The command line: parsing and printing, one file per group of commands."""
