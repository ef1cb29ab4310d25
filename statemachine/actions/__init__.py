"""What follows from an event: changed parties, effects and timers, worked out on the scratch.

Actions can't fail and do nothing to the world; the effects they order are carried out after the commit. One file for
each part of a conversation; the table names them.
"""
