"""Outcomes: what they report, and how they reach other systems."""
