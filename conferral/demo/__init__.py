"""The demo: everything on this machine alone, and a story told by what really happens."""
