"""The demo's desks: a page for each of two agents."""

import aiohttp
from aiohttp import hdrs

from conferral.demo import characters
from conferral.demo.environment import API_TOKEN, DemoEnvironment
from conferral.operations.errors import CommandNotDoneError


async def make_desk_urls(stage: DemoEnvironment) -> dict[str, str]:
    """Return the URL of each agent's desk, with a token, by name.

    Raise CommandNotDoneError if the webhooks make no token.
    """
    urls = {}
    headers = {hdrs.AUTHORIZATION: f"Bearer {API_TOKEN}"}
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        for address in characters.DESKS:
            identity = address.removeprefix("client:")
            agent = {"identity": identity, "name": identity.capitalize()}
            try:
                async with session.post(f"{stage.webhooks_url}/desk/tokens", json=agent) as response:
                    token = (await response.json())["token"]
            except aiohttp.ClientError as error:
                raise CommandNotDoneError(f"the webhooks make no token for a desk: {error}") from error
            urls[agent["name"]] = f"{stage.webhooks_url}/desk#{token}"
    return urls
