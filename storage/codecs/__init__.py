"""Events, effects, and sessions as Redis fields and JSON."""
