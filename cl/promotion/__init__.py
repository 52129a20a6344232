"""Promotion: alias moves, approval, rollback and repair."""
