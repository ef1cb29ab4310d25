"""What a page can look at: the list of sessions, one of them, health, and dead letters."""
