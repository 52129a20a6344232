"""Hyperparameter search over the stream."""
