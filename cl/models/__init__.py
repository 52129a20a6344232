"""What a model is: encoder, head, inference, precision and persistence."""
