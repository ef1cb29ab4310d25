"""`canary`: test an installation on the real account, without a person."""
