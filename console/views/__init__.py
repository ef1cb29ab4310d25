"""The views that pages subscribe to: the session list, one session, health, and dead letters."""
