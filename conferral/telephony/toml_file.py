"""Reads the operator's TOML files; an error names setting, file, and key."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from conferral.runtime.errors import SettingsError
from conferral.runtime.redaction import redact
from conferral.telephony.addresses import is_name


def read_toml(setting: str, path: Path) -> dict[str, Any]:
    """Return the content of the file that a setting names; else SettingsError."""
    text = _text_of(setting, path)
    try:
        return tomllib.loads(text)
    except ValueError as error:  # besides the parser's own error, Python's for an overlong number
        raise SettingsError((_syntax_error(setting, path, text, str(error)),)) from None
    except RecursionError:
        raise SettingsError((f"{setting}: {path}: tables and arrays lie too deep in each other",)) from None


class Table(BaseModel):
    """A table of such a file: only known keys, and no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


F = TypeVar("F", bound=Table)


def parse_toml(
    setting: str,
    path: Path,
    content: Mapping[str, Any],
    file: type[F],
    entries: Mapping[str, type[Table]],
    context: object = None,
) -> F:
    """Validate a file, whose tables have entries; raise SettingsError."""
    try:
        return file.model_validate(content, context=context)
    except ValidationError as error:
        problems = (f"{setting}: {path}, {_message(one, file, entries)}" for one in error.errors())
        raise SettingsError(tuple(problems)) from None


def _message(problem: Any, file: type[Table], entries: Mapping[str, type[Table]]) -> str:
    """Return our message for one of pydantic's errors, with the key."""
    # A long key may be a token in the wrong place.
    path = tuple("…" if len(str(part)) > 32 else part for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        table = entries[path[0]] if path[1:] else file
        return f"{display_path(path)}: no such key; known are {', '.join(table.model_fields)}"
    return f"{display_path(path)}: {str(problem['msg']).removeprefix('Value error, ')}"


def _text_of(setting: str, path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise SettingsError((f"{setting}: {path} can't be read ({why})",)) from None
    except ValueError:
        raise SettingsError((f"{setting}: contains a NUL character; remove it",)) from None
    try:
        return content.decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SettingsError((f"{setting}: {path}, line {line}: must be UTF-8",)) from None


def _syntax_error(setting: str, path: Path, text: str, message: str) -> str:
    """Return where a file is no TOML; the parser's words may quote a secret."""
    found = re.search(r"line (\d+), column (\d+)", message)
    where = f"line {found[1]}, column {found[2]}" if found else f"line {len(text.splitlines())}"
    return f"{setting}: {path}, {where}: not valid TOML"


def display_path(path: tuple[str | int, ...]) -> str:
    """Return a key as the file writes it, without numbers.

    >>> display_path(("inbound", "+15550123", "agents", 1))
    'inbound."+…23".agents, entry 2'
    """
    shown = (f", entry {part + 1}" if isinstance(part, int) else f".{_display_part(part)}" for part in path)
    return "".join(shown).removeprefix(".")


def _display_part(part: str) -> str:
    """Return a part of a key; only its end if it may hold a number."""
    if part.startswith("+"):
        return f'"{redact(part)}"'
    if is_name(part) and sum(letter.isdigit() for letter in part) < 4:
        return part
    return f'"…{part[-2:] if part[-2:].isalnum() else ""}"'
