"""Requests that arrive together are computed together."""
