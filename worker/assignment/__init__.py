"""Which worker holds which partition: membership, leases, rebalance, failover of Redis."""
