"""The refusal of a request to the sandbox's own routes."""


class ControlError(Exception):
    """A request to the sandbox's own routes is invalid; `reason` says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
