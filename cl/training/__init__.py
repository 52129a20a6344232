"""Train challengers: the training loop, checkpoints, strategies and replay buffers."""
