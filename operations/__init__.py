"""Session queries and command submission, shared by every surface: CLI, web console, API, client."""
