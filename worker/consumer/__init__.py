"""Partition consumer: reads events, decides them in batches, commits, and dispatches effects."""
