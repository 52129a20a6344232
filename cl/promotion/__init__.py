"""Promotion: which version serves, and how that changes."""
