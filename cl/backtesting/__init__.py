"""Backtests: the stream, a run over it, its scores and costs, and the outputs."""
