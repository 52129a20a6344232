"""What `cl backtest` is made of: the stream, one run of it, its measures and costs, and what is written of them."""
