"""Worker: leases, partitions, timers, effect executor, command router."""
