"""Session queries and command submission, shared by every surface."""
