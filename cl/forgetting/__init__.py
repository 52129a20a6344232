"""Forgetting on request: remove rows from the data and from the models that learned them."""
