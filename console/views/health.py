"""How the system is: partitions and their holders, processes, rates, what has failed at Twilio."""

from conferral.console.dashboard import Dashboard


class HealthView:
    """What one page has been told of health."""

    with_ended = False

    def __init__(self, dashboard: Dashboard) -> None:
        """Has told nothing yet.

        Args:
            dashboard: Knows it.
        """
        self._dashboard = dashboard
        self._sent = b""

    async def new_messages(self) -> list[bytes]:
        """All of it, when anything has changed."""
        message = await self._dashboard.health()
        if message == self._sent:
            return []
        self._sent = message
        return [message]
