"""The outside world: the project's folder, DVC, MLflow and the promotion ledger."""
