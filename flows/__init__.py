"""The Prefect layer around cl/: flows and deployments without logic of their own."""
