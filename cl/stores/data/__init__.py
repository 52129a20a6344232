"""Data on disk: experiences, DVC, and how rows come and go."""
