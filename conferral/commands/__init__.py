"""Commands: their grammar, and how every surface submits them."""
