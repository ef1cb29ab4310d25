"""The control API over HTTP: reads sessions, publishes commands, decides nothing."""
