"""Routes commands to their session's partition."""
