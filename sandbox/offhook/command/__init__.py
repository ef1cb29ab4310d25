"""What the command does besides serving: running programs, its file."""
