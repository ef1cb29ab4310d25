"""Command routing: each command, in order, to its session's partition."""
