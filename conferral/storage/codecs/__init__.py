"""Codecs: events, effects, and sessions as Redis fields and JSON."""
