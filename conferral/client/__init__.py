"""The Python client: submits commands, waits for outcomes, follows sessions."""
