"""Worker: partition leases, event consumers, timers, effect executor, and command router."""
