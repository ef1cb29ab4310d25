"""Decisions, and nothing else: what a session is, what can happen to it, and what follows.

Rule 1: whatever changes the state of a session lives in this folder.
Rule 2: nothing in here knows Twilio's field names, Redis, the clock or chance; time is an argument.
"""
