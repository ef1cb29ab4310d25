"""Whom commands and settings want dialled: held against the allow-list before anything is published or driven by it."""

from runtime.errors import SettingsError
from runtime.settings import ServiceSettings
from streams.commands import BadCommandError, Parsed
from telephony.addresses import AddressError, AddressKind, AllowList, parse_address

#: Fields of commands that name whom to dial; in `to` several are separated by commas.
_FIELDS = ("agent", "customer", "to")
#: Those of them whom the dial options are for.
_WITH_OPTIONS = frozenset({"agent", "to"})
#: What `CONFERRAL_TRANSFER_FALLBACK` may be beside a destination.
_FALLBACK_WORDS = frozenset({"recall", "end"})


def check_destinations(parsed: Parsed, allowed: AllowList) -> None:
    """Passes when everybody whom a command names may be dialled, and as it asks.

    Raises:
        BadCommandError: not so; the reason names the field and what is wrong with it, never the address.
    """
    for field in _FIELDS:
        named = str(parsed.values.get(field, ""))
        texts = named.split(",") if named else []
        for number, text in enumerate(texts, start=1):
            where = f"{field}, destination {number} of {len(texts)}" if len(texts) > 1 else field
            try:
                address = parse_address(text)
                allowed.check(address)
            except AddressError as error:
                raise BadCommandError(f"{where}: {error.reason}") from None
            if address.kind is AddressKind.CLIENT and field in _WITH_OPTIONS and parsed.values.get("digits"):
                raise BadCommandError(f"{where}: a client has no keypad that digits could be sent to; leave digits out")


def fallback_of(settings: ServiceSettings) -> str:
    """`CONFERRAL_TRANSFER_FALLBACK`, held against the allow-list: `recall`, `end`, or a destination.

    Raises:
        SettingsError: it is none of these, or may not be dialled; or the allow-list itself is wrong.
    """
    fallback = settings.transfer_fallback
    if fallback in _FALLBACK_WORDS:
        return fallback
    allowed = AllowList.from_setting(settings.allowed_destinations, settings.number)
    try:
        allowed.check(parse_address(fallback))
    except AddressError as error:
        problem = "CONFERRAL_TRANSFER_FALLBACK: must be recall, end or a destination that may be dialled: "
        raise SettingsError((problem + error.reason,)) from None
    return fallback
