"""The command stream: models, values, publishing, outcomes."""
