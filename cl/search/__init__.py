"""Hyper-parameter search over backtests."""
