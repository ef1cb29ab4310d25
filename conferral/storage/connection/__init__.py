"""Connections to Redis and Redis Cluster, and their errors."""
