"""Benchmarks: each answers one question with ratios measured side by side in one run.

Absolute figures depend on the machine and its load. A ratio to the minimum possible work (the floor), measured in
alternating rounds, shows how much of the time is Conferral's.
"""
