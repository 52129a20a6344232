"""What each command does, apart from parsing and printing: one file a command."""
