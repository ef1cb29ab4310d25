"""A command's addresses: allowed destinations, the account's caller IDs.

Source: Twilio docs, IncomingPhoneNumber resource, `PhoneNumber`; Errors, 21210.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from twilio.rest import Client

from conferral.runtime.clock import Clock
from conferral.runtime.errors import ProviderError
from conferral.storage.commands.command_parser import BadCommandError, ParsedCommand
from conferral.telephony.addresses import Address, AddressError, AddressKind, AllowList, resolve_address
from conferral.telephony.errors import translate_errors
from conferral.telephony.fallbacks import FallbackRules
from conferral.telephony.http_client import label_requests

#: `to` may hold several, separated by commas.
_FIELDS = ("agent", "customer", "to")
_WITH_ADDRESSES = (*_FIELDS, "fallback")
#: Dial options apply to them.
_WITH_OPTIONS = frozenset({"agent", "to"})
#: Dial options that one kind of address can't take, and why.
_REFUSED = {
    "digits": (AddressKind.CLIENT, "a client has no keypad that digits could be sent to; leave digits out"),
    "params": (AddressKind.NUMBER, "a phone can't receive params, only client: and sip: can; leave params out"),
}
#: How long an answer is cached, seconds: numbers rarely change, and a new one should soon be usable.
FOUND_TTL_S = 300.0
MISSING_TTL_S = 15.0
#: Timeout of the lookup, seconds; later commands of the session wait for it.
DEADLINE_S = 2.0
CACHE_MAX = 1_000
#: Records read per lookup, count: Twilio also matches parts of numbers.
_FOUND_MAX = 20


def resolve_destinations(parsed: ParsedCommand, rules: FallbackRules) -> ParsedCommand:
    """Return the command with addresses; BadCommandError never names one."""
    names, allowed = rules.names, rules.allowed
    found: dict[str, str] = {}
    if fallback := str(parsed.values.get("fallback", "")):
        try:
            found["fallback"] = rules.parse(fallback)
        except AddressError as error:
            raise BadCommandError(f"fallback: {error.reason}") from None
    for field in _FIELDS:
        value = str(parsed.values.get(field, ""))
        texts = value.split(",") if value else []
        options = [name for name in _REFUSED if field in _WITH_OPTIONS and parsed.values.get(name)]
        addresses: list[str] = []
        for number, text in enumerate(texts, start=1):
            location = f"{field}, destination {number} of {len(texts)}" if len(texts) > 1 else field
            address = _resolve(location, text, names, allowed, options)
            if address.text in addresses:
                raise BadCommandError(f"{location}: the same as one before")
            addresses.append(address.text)
        if addresses:
            found[field] = ",".join(addresses)
    return replace(parsed, values={**parsed.values, **found}) if found else parsed


def without_destinations(parsed: ParsedCommand) -> ParsedCommand:
    """Return a refused command without destinations, for its session."""
    return replace(
        parsed, values={**parsed.values, **{field: "" for field in _WITH_ADDRESSES if field in parsed.values}}
    )


def _resolve(
    location: str, text: str, names: Mapping[str, str], allowed: AllowList, options: Collection[str]
) -> Address:
    """Return one destination's address; `location` is its place, for errors."""
    try:
        address = resolve_address(text, names, allowed)
    except AddressError as error:
        raise BadCommandError(f"{location}: {error.reason}") from None
    for kind, why in (_REFUSED[name] for name in options):
        if address.kind is kind:
            raise BadCommandError(f"{location}: {why}")
    return address


class CallerIdChecker:
    """Checks the caller IDs of commands."""

    def __init__(self, client: Client, own_numbers: Callable[[], Collection[str]], clock: Clock) -> None:
        self._client = client
        self._own_numbers = own_numbers
        self._clock = clock
        #: Whether the account has a number, and when that expires, monotonic seconds.
        self._cache: dict[str, tuple[bool, float]] = {}

    async def check(self, number: str) -> None:
        """Raise BadCommandError unless the number is configured or the account's."""
        if number in self._own_numbers():
            return
        is_ours, until_s = self._cache.get(number, (False, 0.0))
        if self._clock.monotonic_s() >= until_s:
            is_ours = await self._read_number(number)
        if not is_ours:
            raise BadCommandError("caller_id: not a number in the account")

    async def _read_number(self, number: str) -> bool:
        try:
            async with asyncio.timeout(DEADLINE_S):
                with label_requests("caller_id"), translate_errors():
                    found = await self._client.incoming_phone_numbers.list_async(phone_number=number, limit=_FOUND_MAX)
        except (ProviderError, TimeoutError):
            raise BadCommandError(
                "caller_id: Twilio did not confirm that the number is in the account; try again"
            ) from None
        is_ours = any(record.phone_number == number for record in found)
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        ttl_s = FOUND_TTL_S if is_ours else MISSING_TTL_S
        self._cache[number] = (is_ours, self._clock.monotonic_s() + ttl_s)
        return is_ours
