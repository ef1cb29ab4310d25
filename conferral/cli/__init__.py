"""The commands. Each module registers its own; what is heavy to import is imported inside them."""
