"""Effect executor: queues, limits, attempts, verification, outbox."""
