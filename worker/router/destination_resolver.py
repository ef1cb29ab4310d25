"""Destinations: names become allowed addresses before publishing."""

from collections.abc import Mapping
from dataclasses import replace

from conferral.storage.commands.command_parser import BadCommandError, ParsedCommand
from conferral.telephony.addresses import Address, AddressError, AddressKind, AllowList
from conferral.telephony.directory import resolve_address

#: `to` may hold several, separated by commas.
_FIELDS = ("agent", "customer", "to")
#: Dial options apply to them.
_WITH_OPTIONS = frozenset({"agent", "to"})


def resolve_destinations(parsed: ParsedCommand, names: Mapping[str, str], allowed: AllowList) -> ParsedCommand:
    """Return the command with addresses; BadCommandError never names one."""
    found: dict[str, str] = {}
    for field in _FIELDS:
        value = str(parsed.values.get(field, ""))
        texts = value.split(",") if value else []
        has_digits = field in _WITH_OPTIONS and bool(parsed.values.get("digits"))
        addresses: list[str] = []
        for number, text in enumerate(texts, start=1):
            location = f"{field}, destination {number} of {len(texts)}" if len(texts) > 1 else field
            address = _resolve(location, text, names, allowed, has_digits=has_digits)
            if address.text in addresses:
                raise BadCommandError(f"{location}: the same as one before")
            addresses.append(address.text)
        if addresses:
            found[field] = ",".join(addresses)
    return replace(parsed, values={**parsed.values, **found}) if found else parsed


def without_destinations(parsed: ParsedCommand) -> ParsedCommand:
    """Return a refused command without destinations, for its session."""
    return replace(parsed, values={**parsed.values, **{field: "" for field in _FIELDS if field in parsed.values}})


def _resolve(location: str, text: str, names: Mapping[str, str], allowed: AllowList, *, has_digits: bool) -> Address:
    """Return one destination's address; `location` is its place, for errors."""
    try:
        address = resolve_address(text, names, allowed)
    except AddressError as error:
        raise BadCommandError(f"{location}: {error.reason}") from None
    if address.kind is AddressKind.CLIENT and has_digits:
        raise BadCommandError(f"{location}: a client has no keypad that digits could be sent to; leave digits out")
    return address
