"""The control API of a sandbox: its state, phones, and faults over HTTP."""
