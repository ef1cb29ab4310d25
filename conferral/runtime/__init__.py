"""Settings, logging, clocks, metrics, and lifecycle of every process."""
