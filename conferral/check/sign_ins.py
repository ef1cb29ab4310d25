"""Checks sign-ins at desks: whether their tokens are still there."""

from collections import Counter

from conferral.check.result import CheckResult, warn
from conferral.runtime.errors import SettingsError
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.tokens import token_named
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.sign_ins import SignIns
from conferral.telephony.token_file import load_tokens


async def check_sign_ins(client: Client, keys: Keys, settings: ServiceSettings) -> list[CheckResult]:
    """Return a line for sign-ins that get no desk tokens, if any."""
    sign_ins = await SignIns(client, keys).read()
    try:
        tokens = load_tokens(settings.tokens, settings.api_token)
    except SettingsError:
        return []  # `check_settings` says so, and the tokens read before apply
    lost = Counter[str]()
    for one in sign_ins.values():
        issuer = token_named(tokens, one.token)
        if issuer is None or not issuer.may_issue_desk(one.identity):
            lost[one.token] += 1
    if not lost:
        return []
    found = ", ".join(f"{count:,} of the token {name}" for name, count in sorted(lost.items()))
    return [
        warn(
            "sign-ins",
            f"these get no desk tokens: {found}, which is gone or lacks `desk` for the agent",
            "end them, since a later token of that name would bring them back: conferral desk-link IDENTITY --end",
        )
    ]
