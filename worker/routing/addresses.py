"""A command's addresses: destinations must be allowed, a caller ID ours.

Source: Twilio docs, IncomingPhoneNumber resource, `PhoneNumber`; Errors, 21210.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from twilio.rest import Client

from conferral.commands.parser import BadCommandError, ParsedCommand
from conferral.runtime.clock import Clock
from conferral.runtime.errors import ProviderError
from conferral.telephony.addresses import Address, AddressError, AddressKind, AllowList, resolve_address
from conferral.telephony.errors import translate_errors
from conferral.telephony.fallbacks import NOT_FOR_TRANSFERS, AddressRules
from conferral.telephony.own_numbers import find_number
from conferral.telephony.request_context import label_requests

#: The fields whose destinations the dial options apply to.
_WITH_OPTIONS = frozenset({"agent", "to"})
#: Dial options that one kind of address can't take, and why.
_REFUSED = {
    "digits": (AddressKind.CLIENT, "a client has no keypad that digits could be sent to; leave digits out"),
    "params": (AddressKind.NUMBER, "a phone can't receive params, only client: and sip: can; leave params out"),
}
#: How long a number counts as the account's without asking again, seconds.
FOUND_TTL_S = 300.0
#: Timeout of the lookup, seconds; all later commands wait for it. After a failure, none is made for a while, seconds.
DEADLINE_S = 2.0
LOOKUP_PAUSE_S = 10.0
_UNCONFIRMED = "caller_id: Twilio did not confirm that the number is in the account; try again"


def resolve_destinations(parsed: ParsedCommand, rules: AddressRules) -> ParsedCommand:
    """Return the command with addresses; BadCommandError never names one."""
    names, allowed = rules.names, rules.allowed
    found: dict[str, Sequence[str]] = {}
    if parsed.fallback:
        try:
            found["fallback"] = rules.check(parsed.fallback, without=NOT_FOR_TRANSFERS)
        except AddressError as error:
            raise BadCommandError(f"fallback: {error.reason}") from None
    for field, texts in parsed.destinations.items():
        options = [name for name in _REFUSED if field in _WITH_OPTIONS and parsed.values.get(name)]
        addresses: list[str] = []
        for number, text in enumerate(texts, start=1):
            location = f"{field}, destination {number} of {len(texts)}" if len(texts) > 1 else field
            address = _resolve(location, text, names, allowed, options)
            if address.text in addresses:
                raise BadCommandError(f"{location}: the same as one before")
            addresses.append(address.text)
        found[field] = addresses
    return parsed.with_addresses(found)


def without_destinations(parsed: ParsedCommand) -> ParsedCommand:
    """Return a refused command without destinations, for its session."""
    given = {name: type(parsed.values[name])() for name in (*parsed.destinations, "fallback") if name in parsed.values}
    return replace(parsed, values={**parsed.values, **given})


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
        #: Numbers of the account, and until when they count, monotonic seconds.
        self._found: dict[str, float] = {}
        #: Until when Twilio is not asked, monotonic seconds.
        self._paused_until_s = float("-inf")

    async def check(self, number: str) -> None:
        """Raise BadCommandError unless the number is configured or the account's."""
        now_s = self._clock.monotonic_s()
        if number in self._own_numbers() or now_s < self._found.get(number, 0.0):
            return
        if now_s < self._paused_until_s:
            raise BadCommandError(_UNCONFIRMED)
        try:
            async with asyncio.timeout(DEADLINE_S):
                with label_requests("caller_id"), translate_errors():
                    record = await find_number(self._client, number)
        except (ProviderError, TimeoutError):
            self._paused_until_s = self._clock.monotonic_s() + LOOKUP_PAUSE_S
            raise BadCommandError(_UNCONFIRMED) from None
        if record is None:
            raise BadCommandError("caller_id: not a number in the account")
        self._found[number] = self._clock.monotonic_s() + FOUND_TTL_S


class CommandAddresses:
    """Resolves the destinations of commands, and checks their caller IDs."""

    def __init__(
        self,
        rules: Callable[[], AddressRules],
        caller_ids: CallerIdChecker,
    ) -> None:
        #: What destinations and fallbacks may name, by the current directory.
        self._rules = rules
        self._caller_ids = caller_ids

    async def resolve(self, parsed: ParsedCommand) -> ParsedCommand:
        """Return the command with addresses, or raise BadCommandError."""
        resolved = resolve_destinations(parsed, self._rules())
        if caller_id := resolved.values.get("caller_id"):
            await self._caller_ids.check(str(caller_id))
        return resolved
