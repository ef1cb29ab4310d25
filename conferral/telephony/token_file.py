"""Named API tokens: the operator's TOML file (`CONFERRAL_TOKENS`).

It is read at start and on SIGHUP. It holds no tokens, only their digests, and neither appears in an error or the log.
`conferral.runtime.web.tokens` checks what a token may do. The file is read here, like the directory, since destinations
and desks are addresses.
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf, SecretStr

from conferral.runtime.errors import SettingsError
from conferral.runtime.limits import IDENTITY_MAX
from conferral.runtime.web.tokens import API_NAME, NAME_RULE, Permission, Token, Tokens, digest_of, is_token_name
from conferral.statemachine.events import COMMANDS
from conferral.telephony.addresses import AllowList, resolve_address
from conferral.telephony.identities import identity_problem
from conferral.telephony.toml_file import Table, display_path, parse_toml, read_toml

log = structlog.get_logger()

_SETTING = "CONFERRAL_TOKENS"
#: Every permission and command.
EVERYTHING = (*Permission, *(command.name for command in COMMANDS))
#: Returns the directory's addresses by name.
Names = Callable[[], Mapping[str, str]]


def _valid_name(text: str) -> str:
    if not is_token_name(text):
        raise ValueError(f"a token's name {NAME_RULE}")
    return text


def _valid_digest(text: str) -> str:
    if not re.fullmatch("[0-9A-Fa-f]{64}", text):
        raise ValueError("must be the token's SHA-256: 64 hexadecimal digits; `conferral api-token NAME` prints it")
    return text.lower()


def _valid_permissions(value: object) -> frozenset[str]:
    if value == ["all"]:
        return frozenset(EVERYTHING)
    words = value if isinstance(value, list) else []
    wrong = [position for position, word in enumerate(words, start=1) if word not in EVERYTHING]
    if wrong or not words:
        where = f"entry {wrong[0]} is wrong; " if wrong else ""
        raise ValueError(f'{where}must be ["all"], or a list of some of {", ".join(EVERYTHING)}')
    return frozenset(words)


def _valid_destinations(value: object) -> AllowList:
    try:
        found = AllowList.from_setting(value, "") if isinstance(value, str) else AllowList()
    except SettingsError:
        found = AllowList()
    if found == AllowList():
        raise ValueError("must be a comma-separated list of regions, number prefixes, client:, and SIP domains")
    return found


def _valid_identities(value: object) -> frozenset[str]:
    words = value if isinstance(value, list) else []
    if not words or not all(isinstance(word, str) and not identity_problem(word) for word in words):
        raise ValueError(f"must be a list of agents' identities, each 1 to {IDENTITY_MAX} letters, digits, or _")
    return frozenset(words)


class _Token(Table):
    sha256: Annotated[str, AfterValidator(_valid_digest)] = Field(repr=False)
    may: Annotated[frozenset[str], BeforeValidator(_valid_permissions)]
    destinations: Annotated[InstanceOf[AllowList] | None, BeforeValidator(_valid_destinations)] = None
    desk: Annotated[frozenset[str] | None, BeforeValidator(_valid_identities)] = None


class _File(Table):
    tokens: dict[Annotated[str, AfterValidator(_valid_name)], _Token] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Resolves what one token's commands name."""

    allowed: AllowList
    names: Names

    def __call__(self, text: str) -> str:
        return resolve_address(text, self.names(), self.allowed).text


class TokenFile(Tokens):
    """The tokens of a process: those of a file, and `CONFERRAL_API_TOKEN`."""

    def __init__(self, path: Path | None, api_token: SecretStr | None, names: Names) -> None:
        """Read the file; raise SettingsError if it is invalid."""
        self._path = path
        self._load = partial(load_tokens, path, api_token, names)
        # Two concurrent reloads could finish in the wrong order.
        self._lock = threading.Lock()
        super().__init__(self._load())
        if path is not None:
            self._log_read()

    def _log_read(self) -> None:
        """Log how many there are.

        A file that was cut off while it was written may be valid.
        """
        log.info("tokens_read", count=len(self.current))

    def reload(self) -> None:
        """Read the file again, also in a thread; on errors, keep the old tokens."""
        if self._path is None:
            return
        with self._lock:
            try:
                self.current, self.problem = self._load(), ""
            except SettingsError as error:
                self.problem = f"{_SETTING}: the file is broken, see the log; the tokens read before stay in effect"
                for problem in error.problems:
                    log.error("tokens_refused", reason=problem)
                return
        self._log_read()


def load_tokens(path: Path | None, api_token: SecretStr | None, names: Names = dict) -> dict[str, Token]:
    """Return the tokens by digest, `api` first; raise SettingsError.

    `names` returns the directory's addresses by name: a token's destinations may be names.
    """
    found: dict[str, Token] = {}
    tables = parse_toml(_SETTING, path, read_toml(_SETTING, path), _File, {"tokens": _Token}).tokens if path else {}
    if api_token is not None:
        digest = digest_of(api_token.get_secret_value())
        found[digest] = Token(API_NAME, frozenset(EVERYTHING), digest)
    for name, table in tables.items():
        if other := found.get(table.sha256):
            where = display_path(("tokens", name, "sha256"))
            raise SettingsError((f"{_SETTING}: {path}, {where}: the token {other.name} has the same",))
        if table.desk is not None and Permission.DESK not in table.may:
            where = display_path(("tokens", name, "desk"))
            raise SettingsError((f"{_SETTING}: {path}, {where}: limits the permission desk, which `may` lacks",))
        allowed = table.destinations
        resolver = _Resolver(replace(allowed, setting=f"{_SETTING} (token {name})"), names) if allowed else None
        found[table.sha256] = Token(name, table.may, table.sha256, resolver, table.desk)
    return found
