"""Named API tokens: the operator's TOML file (`CONFERRAL_TOKENS`).

It is read at start and on SIGHUP. It holds no tokens, only their digests, and neither appears in an error or the log.
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from conferral.runtime.errors import SettingsError
from conferral.runtime.web.tokens import API_NAME, NAME_RULE, Permission, Token, Tokens, digest_of, is_token_name
from conferral.statemachine.events import COMMANDS
from conferral.telephony.addresses import AllowList, resolve_address
from conferral.telephony.toml_file import display_path, read_toml

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


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _Token(_Table):
    sha256: Annotated[str, AfterValidator(_valid_digest)] = Field(repr=False)
    may: Annotated[frozenset[str], BeforeValidator(_valid_permissions)]
    destinations: Annotated[AllowList | None, BeforeValidator(_valid_destinations)] = None


class _File(_Table):
    tokens: dict[Annotated[str, AfterValidator(_valid_name)], _Token] = {}


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Resolves what one token's commands name."""

    allowed: AllowList
    names: Names = field(repr=False)

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
        log.info("tokens_read", count=len(self.current))


def load_tokens(path: Path | None, api_token: SecretStr | None, names: Names = dict) -> dict[str, Token]:
    """Return the tokens by digest, `api` first; raise SettingsError."""
    found: dict[str, Token] = {}
    if api_token is not None:
        digest = digest_of(api_token.get_secret_value())
        found[digest] = Token(API_NAME, frozenset(EVERYTHING), digest)
    for name, table in (_read_file(path) if path else {}).items():
        if other := found.get(table.sha256):
            where = display_path(("tokens", name, "sha256"))
            raise SettingsError((f"{_SETTING}: {path}, {where}: the token {other.name} has the same",))
        allowed = table.destinations
        resolver = _Resolver(replace(allowed, setting=f"{_SETTING} (token {name})"), names) if allowed else None
        found[table.sha256] = Token(name, table.may, table.sha256, resolver)
    return found


def _read_file(path: Path) -> dict[str, _Token]:
    try:
        return _File.model_validate(read_toml(_SETTING, path)).tokens
    except ValidationError as error:
        raise SettingsError(tuple(f"{_SETTING}: {path}, {_message(one)}" for one in error.errors())) from None


def _message(problem: Any) -> str:
    """Return our message for one of pydantic's errors, with the key."""
    # A long key may be a token in the wrong place.
    path = tuple("…" if len(str(part)) > 32 else part for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        return f"{display_path(path)}: no such key; known are {', '.join((_Token if path[1:] else _File).model_fields)}"
    return f"{display_path(path)}: {str(problem['msg']).removeprefix('Value error, ')}"
