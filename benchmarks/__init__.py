"""How fast it is: each benchmark answers one question by ratios that are measured side by side in one run.

Absolute figures depend on the machine and on what else it does; a ratio to the least that could be done (the floor),
taken in alternating rounds, says how much of the time is ours.
"""
