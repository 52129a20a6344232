"""The page for the team: all projects of a folder, what waits for a person, and a person's yes or no."""
