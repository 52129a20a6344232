"""Evaluate models: scores, continual-learning metrics, and other measurements under the names that gates use."""
