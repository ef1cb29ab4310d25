"""The task `queue`: offers callers who wait to desks that are free."""
