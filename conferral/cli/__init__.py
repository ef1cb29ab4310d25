"""The CLI commands. Functions import heavy modules when they need them."""
