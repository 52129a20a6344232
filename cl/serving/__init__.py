"""Serving: the HTTP server, its canary and shadow traffic, and its prediction log."""
