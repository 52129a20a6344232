"""What concerns the process itself: the processors that it may use, and what it is doing."""
