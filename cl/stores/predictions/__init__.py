"""The predictions that were served, and the feedback on them."""
