"""Partition assignment: membership, leases, rebalance, rollback checks."""
