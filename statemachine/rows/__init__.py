"""The rows of the transition table, one file for each state. `statemachine/table.py` puts them together."""
