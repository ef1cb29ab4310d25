"""Executes effects: queues, limits, attempts, verification, outbox."""
