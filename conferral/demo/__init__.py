"""The demo: everything on this machine, and a story narrated from what really happens."""
