"""Ingest of callbacks: batched writes, load shedding, reads for TwiML."""
