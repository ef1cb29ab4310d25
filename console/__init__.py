"""The web console: a live view of the sessions in Redis, with buttons that submit commands."""
