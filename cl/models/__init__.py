"""Models: encoder, head, inference, precision and persistence."""
