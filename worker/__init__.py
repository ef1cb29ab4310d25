"""Worker: leases, consumers, timers, effect executor, command router."""
