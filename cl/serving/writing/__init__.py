"""Answers that language models write: requests share the steps of a model."""
