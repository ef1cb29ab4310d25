"""What every process needs: settings, logging, clocks, metrics, start and stop. Knows nothing of calls."""
