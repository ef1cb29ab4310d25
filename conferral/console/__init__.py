"""The web console: a live view of the sessions, with command buttons."""
