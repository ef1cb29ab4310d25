"""The CLI commands. Each module registers its own and imports heavy modules inside its functions."""
