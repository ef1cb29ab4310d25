"""Ingest of callbacks by webhooks: batched writes, load shedding, and the session view for TwiML answers."""
