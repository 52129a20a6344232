"""Data on disk: experiences, their versions in DVC, staging, publication and removal of rows."""
