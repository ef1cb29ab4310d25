"""The control API over HTTP: reads sessions and publishes commands."""
