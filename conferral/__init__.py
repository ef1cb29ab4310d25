"""The front door: the command line, the demo and the check."""
