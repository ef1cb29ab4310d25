"""The agent's desk: its page, and what it may see and do over HTTP."""
