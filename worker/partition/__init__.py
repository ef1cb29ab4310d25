"""One partition: `partition.py` is its life, and the others its parts."""
