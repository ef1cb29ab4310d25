"""API tokens: who sends a request, and what they may do."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from conferral.runtime.errors import ConferralError
from conferral.runtime.web.json_requests import RequestError

#: The name of `CONFERRAL_API_TOKEN`.
API_NAME = "api"
#: Shorter than most tokens, one of which may be in the wrong place. Logs show names, so no phone numbers.
_NAME = re.compile(r"(?!(?:api|cli)$)(?!.*[0-9](?:[_-]?[0-9]){6})[A-Za-z][A-Za-z0-9_-]{0,31}")
NAME_RULE = "must be a letter, then up to 31 letters, digits, _, or -, no phone number, and neither api nor cli"


class Permission(StrEnum):
    """What a token may do, besides commands."""

    READ = "read"
    ACCESS_TOKEN = "access-token"  # noqa: S105  # a word, not a token
    DESK = "desk"
    DEAD = "dead"
    RESEND = "resend"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Token:
    """A named token."""

    name: str
    #: Permissions and names of commands.
    may: frozenset[str]
    #: SHA-256 of the token, in hex.
    digest: str = field(repr=False)
    #: Returns the address of an address or a directory name that the token's commands may name; else raises
    #: ConferralError. None if only the allow-list applies.
    address_of: Callable[[str], str] | None = field(default=None, repr=False)
    #: Identities for which it may issue desk tokens; None for any.
    desks: frozenset[str] | None = field(default=None, repr=False)

    def require(self, needed: str) -> None:
        """Raise RequestError unless the token has a permission."""
        if needed not in self.may:
            raise self.refusal(f"lacks the permission {needed}")

    def refusal(self, why: str) -> RequestError:
        """Return the error for what the token may not do."""
        error = RequestError("forbidden", f"the token {self.name} {why}")
        error.log_fields["token_name"] = self.name
        return error

    def may_issue_desk(self, identity: str) -> bool:
        """Whether it may issue desk tokens for an identity."""
        return Permission.DESK in self.may and (self.desks is None or identity in self.desks)

    def may_name(self, destination: str) -> bool:
        """Whether the token's commands may name an address or a directory name."""
        try:
            return self.address_of is None or bool(self.address_of(destination))
        except ConferralError:
            return False

    def is_sender(self, by: str) -> bool:
        """Whether a command with this `by` was sent with this token."""
        return by.partition("/")[0] == self.name


#: Stands for the token of a request that needs none.
NO_TOKEN = Token("", frozenset(), "")


@dataclass
class Tokens:
    """The tokens in effect, which a reload replaces."""

    #: By digest.
    current: Mapping[str, Token]
    #: Why the last reload was refused; empty if it wasn't.
    problem: str = ""

    def share_of(self, limit: int) -> int:
        """Return how many of a number one token may take: half, if not alone."""
        return limit if len(self.current) < 2 else limit // 2

    def have(self, token: Token) -> bool:
        """Whether no reload has removed or changed a token."""
        return self.current.get(token.digest) == token


def token_named(tokens: Mapping[str, Token], name: str) -> Token | None:
    """Return the token of a name; None if there is none."""
    return next((one for one in tokens.values() if one.name == name), None)


def is_token_name(text: str) -> bool:
    """Whether a token in the file may have this name."""
    return _NAME.fullmatch(text) is not None


def digest_of(token: str) -> str:
    """Return a token's SHA-256 in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()  # headers may hold any byte
