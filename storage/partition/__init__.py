"""Writes of a worker to one partition: lease, sessions, events, dial claims."""
