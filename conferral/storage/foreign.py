"""Logs that records were removed which another program wrote."""


def log_unreadable_removed(key: str, count: int) -> None:
    """Log how many records of a key were removed because they can't be read."""
    if count:
        import structlog  # the client in Python loads this module, and logs nothing

        log = structlog.get_logger()
        log.error("records_removed", names=[key], count=count)
