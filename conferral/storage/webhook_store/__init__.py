"""What webhooks need of Redis: to store events, and to read for their answers."""
