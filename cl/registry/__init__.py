"""Versions in the registry: registering, smoke-testing, tracing, exporting, reproducing and removing them."""
