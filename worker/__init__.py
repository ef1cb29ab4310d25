"""Stream entries in, effects out: leases, the consume loop, the effect executor, timers, the command router."""
