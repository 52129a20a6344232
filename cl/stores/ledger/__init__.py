"""The promotion ledger: a hash chain of alias moves."""
