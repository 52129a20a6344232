"""Forgetting on request: rows are removed from the data and from the models that learned them."""
