"""Models as others load them."""
