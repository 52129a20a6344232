"""Micro-batching of requests."""
