"""Reads for people: sessions, dead letters, processes."""
