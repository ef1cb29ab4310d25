"""What people see of sessions and how they give commands, whatever the surface: terminal, web console, API, client."""
