"""Guards: yes-or-no questions about a draft and an event, which the table evaluates from top to bottom.

Each takes the draft (session, time, policy) and the event, and changes nothing. There is one file per part of a
conversation.
"""
