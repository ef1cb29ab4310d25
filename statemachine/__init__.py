"""State machine of a session: what a session is, which events reach it, and what follows from each.

Rule 1: all code that changes the state of a session lives in this package.
Rule 2: this package knows nothing of Twilio's field names, Redis, clocks, or randomness; time is an argument.
"""
