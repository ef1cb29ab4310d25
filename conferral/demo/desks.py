"""The demo's desks: a page for each of two agents."""

from conferral.cli.desk_link import make_link
from conferral.demo import characters
from conferral.demo.environment import DemoEnvironment
from conferral.runtime.web.tokens import API_NAME
from conferral.storage.sign_ins import LIFETIME_MAX_MS, SignIn

#: Shorter than the link's life, which is opened again: of too many, the one that would end first is removed.
SIGN_IN_MS = 86_400_000


async def make_desk_urls(stage: DemoEnvironment) -> dict[str, str]:
    """Return a link for each agent's desk, by identity; raise StoreError.

    Each can be used again, until the demo and its Redis end.
    """
    urls = {}
    for address in characters.DESKS:
        identity = address.removeprefix("client:")
        code = SignIn(identity, API_NAME, for_ms=SIGN_IN_MS, is_reusable=True)
        urls[identity] = await make_link(stage.reader, stage.webhooks_url, code, ttl_ms=LIFETIME_MAX_MS)
    return urls
