"""The store: MLflow runs, claims and statuses."""
