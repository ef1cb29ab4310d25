"""Partition assignment: membership, leases, rebalance, and checks after a Redis rollback."""
