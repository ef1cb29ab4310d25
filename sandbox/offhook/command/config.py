"""The file `offhook.toml`: the account as each start finds it."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from offhook.fields import Fields, FieldsError, check, fields_of
from offhook.model.behavior import Behavior
from offhook.model.numbers import Number
from offhook.phones import PhoneScript
from offhook.runtime import SandboxRuntime

NAME = "offhook.toml"  #: Read from the working directory if it is there.
_SCRIPT = {**fields_of(PhoneScript).kinds, **dict.fromkeys(("keys", "speaks"), str | Sequence[str])}
_NUMBER = {name: kind for name, kind in fields_of(Number).kinds.items() if name not in {"number", "application_sid"}}
_OPTIONS = {
    "port": int,
    "host": str,
    "allow_host": list[str],
    "strict": bool,
    "allow_internet": bool,
    "map": dict[str, str],
}
_FIELDS = {
    "account_sid": str,
    "auth_token": str,
    "api_keys": dict[str, str],
    "speed": float,
    "unmodeled": Literal["error", "warn"],
    "behavior": Behavior,
}
_TABLES = {
    "numbers": Fields(_NUMBER),
    "applications": Fields({name: kind for name, kind in _NUMBER.items() if name != "voice_application_sid"}),
    "phones": Fields({"name": str, "in_turn": list[PhoneScript], **_SCRIPT}),
}
_FILE = Fields({**_OPTIONS, **_FIELDS, **dict.fromkeys(_TABLES, dict[str, dict[str, Any]])})


@dataclass(frozen=True, slots=True)
class Config:
    """What a file says; by default, nothing."""

    path: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)  #: As the command's.
    fields: Mapping[str, Any] = field(default_factory=dict)  #: Others of `Sandbox`.
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)  #: By number or address.

    def set_up(self, sandbox: SandboxRuntime) -> None:
        """Add the numbers and phones, or give them what the file says again.

        Raise ValueError for those that can't be.
        """
        for table, name, given in self._entries():
            try:
                match table:
                    case "numbers":
                        sandbox.add_number(name, **given)
                    case "applications":
                        sandbox.add_application(name, **({"voice_url": ""} | dict(given)))
                    case "phones":
                        _set_up_phone(sandbox, name, dict(given))
            except ValueError as error:
                raise ValueError(f"{self.path}: {table}.{name}: {error}") from None

    def _entries(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Return all entries; phones last: a number of the account is none."""
        return [(table, *entry) for table in _TABLES for entry in self.tables.get(table, {}).items()]


def _set_up_phone(sandbox: SandboxRuntime, address: str, given: dict[str, Any]) -> None:
    phone = sandbox.phone(address)
    phone.name = given.pop("name", phone.name)
    scripts = given.pop("in_turn", None)
    if scripts is not None and given:
        raise ValueError(f"{min(given)} belongs into one of the scripts that are in turn")
    if scripts is None:
        phone.script(**given)
    else:
        phone.script_in_turn(*scripts)


def read_config(path: str | None) -> Config:
    """Return what the file says, by default that of the working directory.

    Raise ValueError for one that lacks, or that says something wrong.
    """
    if path is None and not Path(NAME).exists():
        return Config()
    path = path or NAME
    try:
        found = tomllib.loads(Path(path).read_text("utf-8"))
        given = check(_FILE, found)
        tables = {
            table: {name: check(known, it, within=(table, name)) for name, it in given.get(table, {}).items()}
            for table, known in _TABLES.items()
        }
        _check_account(given)
    except OSError as error:
        raise ValueError(f"can't read {path}: {(error.strerror or str(error)).lower()}") from None
    except (FieldsError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    options = {name: given[name] for name in _OPTIONS if name in given}
    return Config(path, options, {name: given[name] for name in _FIELDS if name in given}, tables)


def _check_account(given: Mapping[str, Any]) -> None:
    for name, prefix, sids in (
        ("account_sid", "AC", [given["account_sid"]] if "account_sid" in given else []),
        ("api_keys", "SK", given.get("api_keys", ())),
    ):
        for sid in sids:
            if not re.fullmatch(f"{prefix}[0-9a-f]{{32}}", sid):
                raise ValueError(f"{name}: {sid!r} is no SID: {prefix}, and 32 digits 0 to 9 and a to f")
    if given.get("auth_token") == "" or "" in given.get("api_keys", {}).values():
        raise ValueError("a token or secret must not be empty")
    if given.get("speed", 1) <= 0:
        raise ValueError("speed: must be above 0")
