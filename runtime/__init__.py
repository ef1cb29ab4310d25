"""Shared by every process: settings, logging, clocks, metrics, lifecycle. Knows nothing about calls."""
