"""Queries and words, shared by every surface."""
