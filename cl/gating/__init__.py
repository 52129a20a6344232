"""What gates are made of: which rows they look at, which numbers, and what chance has to say of them."""
