"""Redis storage, shared by all processes."""
