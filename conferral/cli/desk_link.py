"""`desk-link`: sign agents in at their desks, and out."""

from typing import TYPE_CHECKING, Annotated

import typer

from conferral.cli import output
from conferral.cli.options import AsJson
from conferral.operations.errors import CommandNotDoneError

if TYPE_CHECKING:
    from conferral.runtime.settings import DeskLinkSettings
    from conferral.storage.queries.session_reader import SessionReader
    from conferral.storage.sign_ins import SignIn

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400}


def _span_ms(text: str) -> int:
    import re

    from conferral.storage.sign_ins import LIFETIME_MAX_MS

    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    lasts_ms = int(found[1]) * _UNITS_S[found[2]] * 1000 if found else 0
    if not 0 < lasts_ms <= LIFETIME_MAX_MS:
        raise typer.BadParameter("must be a span such as 30m, 12h, or 5d, at most 30d", param_hint="--for")
    return lasts_ms


def desk_link(
    identity: Annotated[str, typer.Argument(metavar="IDENTITY", help="The agent's, as in client:IDENTITY.")],
    lasts: Annotated[
        str, typer.Option("--for", metavar="SPAN", help="How long the sign-in lasts, at most 30d.")
    ] = "12h",
    end: Annotated[bool, typer.Option("--end", help="End all sign-ins and unused links of the agent.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a link that signs an agent in at the desk.

    \b
    Examples:
      conferral desk-link alice
      conferral desk-link alice --for 5d
      conferral desk-link alice --end

    The link works once, within 10 minutes: anyone who opens it first is this agent. The sign-in is in the name of the
    token CONFERRAL_DESK_TOKEN_NAME, by default `api`. With --end, the agent's desks are signed out within a second,
    except those with a token of POST /desk/tokens. A link needs CONFERRAL_DESK_URL or CONFERRAL_PUBLIC_URL, and
    CONFERRAL_API_TOKEN or CONFERRAL_TOKENS.
    """
    from conferral.cli.redis_connection import run_query
    from conferral.operations.desk_sign_out import end_sign_ins
    from conferral.runtime.settings import DeskLinkSettings, load
    from conferral.storage.sign_ins import SignIn
    from conferral.telephony.identities import identity_problem

    if problem := identity_problem(identity):
        raise typer.BadParameter(problem, param_hint="IDENTITY")
    lasts_ms = _span_ms(lasts)
    if end:
        ended = run_query(lambda reader: end_sign_ins(reader, identity, everything=True))
        if as_json:
            output.print_json({"identity": identity, "ended": ended})
        else:
            output.print_line(f"ended: {ended} sign-ins and unused links")
        return
    settings = load(DeskLinkSettings)
    url = desk_url(settings)
    require_issuer(settings, identity)
    _warn_unless_listed(identity)
    link = run_query(lambda reader: make_link(reader, url, SignIn(identity, settings.desk_token_name, for_ms=lasts_ms)))
    if as_json:
        output.print_json({"identity": identity, "url": link, "for_s": lasts_ms // 1000})
    else:
        output.print_note(f"works once, within 10 minutes; the sign-in lasts {lasts}")
        output.print_line(link)


def _warn_unless_listed(identity: str) -> None:
    """Say so if the directory has people at desks, and this is none of them."""
    from conferral.cli.agent_names import agent_names

    known = agent_names()
    if known and f"client:{identity}" not in known:
        output.print_note(f"warning: [agents] in CONFERRAL_DIRECTORY doesn't list {identity}")


async def make_link(reader: "SessionReader", url: str, code: "SignIn", **options: int) -> str:
    """Return a link with a new code.

    It is in the fragment, which browsers send to no server.
    """
    from conferral.storage.sign_ins import SignIns

    secret = await SignIns(reader.client, reader.keys).add_code(code, **options)
    return f"{url}/desk?as={code.identity}#{secret}"


def desk_url(settings: "DeskLinkSettings") -> str:
    """Return where browsers reach `/desk`; raise CommandNotDoneError."""
    from conferral.runtime.urls import is_plain_beyond_loopback

    url = settings.desk_url or settings.public_url
    if url is None:
        raise CommandNotDoneError("CONFERRAL_DESK_URL and CONFERRAL_PUBLIC_URL: one of them must be set")
    if is_plain_beyond_loopback(url):
        raise CommandNotDoneError(
            "CONFERRAL_PUBLIC_URL: browsers allow a microphone only over https://, or on loopback; set "
            "CONFERRAL_DESK_URL"
        )
    return url


def require_issuer(settings: "DeskLinkSettings", identity: str) -> None:
    """Raise CommandNotDoneError unless a token can sign the agent in."""
    from conferral.runtime.web.tokens import token_named
    from conferral.telephony.token_file import load_tokens

    name = settings.desk_token_name
    issuer = token_named(load_tokens(settings.tokens, settings.api_token), name)
    if issuer is None:
        raise CommandNotDoneError(
            f"CONFERRAL_DESK_TOKEN_NAME: there is no token {name}; set CONFERRAL_API_TOKEN for `api`, or name one of "
            "CONFERRAL_TOKENS that may `desk`"
        )
    if not issuer.may_issue_desk(identity):
        raise CommandNotDoneError(f"CONFERRAL_DESK_TOKEN_NAME: the token {name} may sign this agent in at no desk")
