"""Queries for operators: sessions, dead letters, processes."""
