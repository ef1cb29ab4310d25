"""The Python client: submit commands, await outcomes, follow sessions."""
