"""Command router: sends each command to its session's partition."""
