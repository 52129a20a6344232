"""The Prefect shell around cl/: flows and deployments, no logic of their own."""
