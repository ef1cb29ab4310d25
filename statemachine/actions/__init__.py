"""Actions: what an event changes in the draft (parties, effects, timers).

Actions can't fail and do no IO; the worker executes the effects after the commit. There is one file per part of a
conversation; the table names the functions.
"""
