"""Wires and runs the processes: webhooks, worker, console, sandbox."""
