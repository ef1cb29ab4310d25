"""Brings the team lead in when a call that was handed on comes back to the agent, because nobody has taken it.

Needs REDIS_URL, and CONFERRAL_PREFIX where it is not `conferral`. Start as many as you like: a command that is given
twice under the same id is done once.
"""

import asyncio

from conferral import Client


async def main() -> None:
    """Waits for transfers that came to nothing, for as long as it runs."""
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
    asyncio.run(main())
