"""State machine of a session: what it is, its events, and what follows.

Rule 1: all code that changes the state of a session lives in this package.
Rule 2: this package knows nothing of Twilio's field names, Redis, clocks, or randomness; time is an argument.
"""
