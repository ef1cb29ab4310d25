"""Benchmarks of the promises in docs/performance.md: each measures what is started as in production, from outside."""
