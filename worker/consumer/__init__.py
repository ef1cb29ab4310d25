"""Partition consumer: reads, decides, commits, and dispatches events."""
