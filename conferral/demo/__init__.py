"""The demo: a story narrated from what really happens here."""
