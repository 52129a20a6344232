"""Revise what was taken in and learned: forget rows, and change labels."""
