"""Storage: the project folder, DVC, MLflow and the promotion ledger."""
