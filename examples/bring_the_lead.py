"""Bring the team lead in when a failed transfer returns to the agent.

Needs REDIS_URL, and CONFERRAL_PREFIX if it isn't `conferral`. Run as many instances as you like: a command submitted
twice with the same id runs once.
"""

import asyncio
from contextlib import suppress

from conferral import Client


async def main() -> None:
    """Watch for failed transfers until stopped."""
    async with Client() as client:
        async for outcome in client.outcomes():
            if outcome.result == "recalled":
                await client.transfer(
                    outcome.session,
                    to="client:lead",
                    mode="warm",
                    brief="A call came back to your team. Press 1 to join it.",
                    confirm=True,
                    id="lead-" + outcome.id.replace(":", "-"),
                    wait=False,
                )


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):  # Ctrl-C
        asyncio.run(main())
