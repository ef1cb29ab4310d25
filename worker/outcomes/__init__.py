"""Sends outcomes to another system over HTTP."""
