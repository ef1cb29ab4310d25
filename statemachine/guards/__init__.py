"""Yes-or-no questions about a session and an event. The table asks them from top to bottom.

Each takes the scratch (session, time, policy) and the event. They change nothing. One file for each part of a
conversation.
"""
