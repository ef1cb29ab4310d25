"""The Python client: gives commands, waits for outcomes, follows sessions."""
