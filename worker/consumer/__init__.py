"""Reads a partition's events, decides them in batches, commits, and dispatches effects."""
