"""The control API: what operators' programs ask over HTTP. Reads sessions, publishes commands, decides nothing."""
