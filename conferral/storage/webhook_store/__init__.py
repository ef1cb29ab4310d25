"""What webhooks need of Redis: store events, and read for their answers."""
