"""The health view: partitions and their holders, processes, rates, and Twilio failures."""

from conferral.console.dashboard import Dashboard


class HealthView:
    """The health as sent to one page."""

    with_ended = False

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._sent = b""

    async def new_messages(self) -> list[bytes]:
        """Return everything, if anything has changed."""
        message = await self._dashboard.health()
        if message == self._sent:
            return []
        self._sent = message
        return [message]
