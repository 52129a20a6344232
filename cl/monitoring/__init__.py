"""Monitoring: watching data and traffic, and notifying people."""
