"""Writes to one partition: lease, sessions, events, dial claims."""
