"""Parts behind `worker/partition.py`; none of them calls another upward."""
