"""The command line: its output, and commands that read Redis or Twilio.

The commands that start a process, the demo, or the checks are in the `cli.py` of that package.
Functions import heavy modules when they need them.
"""
