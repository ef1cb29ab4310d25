"""How the system is: partitions and their holders, processes, rates, what has failed at Twilio."""

from conferral.console.board import Board


class HealthView:
    """What one page has been told of health."""

    with_ended = False

    def __init__(self, board: Board) -> None:
        """Has told nothing yet.

        Args:
            board: Knows it.
        """
        self._board = board
        self._told = b""

    async def news(self) -> list[bytes]:
        """All of it, when anything has changed."""
        message = await self._board.health()
        if message == self._told:
            return []
        self._told = message
        return [message]
