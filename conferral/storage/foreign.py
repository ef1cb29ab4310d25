"""The log line of records that another program wrote."""

import structlog

log = structlog.get_logger()


def log_removed(key: str, count: int) -> None:
    """Log how many records of a key were removed because they can't be read."""
    if count:
        log.error("records_removed", names=[key], count=count)
