"""Task queues to compare with. Each runs in its own environment, made from its lock file, without Conferral."""
