"""Addresses to dial, and the allow-list; errors never quote a number."""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, ValidationResult

from conferral.runtime import setting_errors
from conferral.runtime.errors import ConferralError, SettingsError
from conferral.runtime.redaction import EXAMPLE

#: Source: Twilio docs, "Format phone numbers" (E.164): a plus sign and at most 15 digits, the first not 0.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
#: Fewest digits of a complete number (count): fewer are meant as a short or emergency number.
_COMPLETE_DIGITS_MIN = 7
#: No delimiters, spaces, or control characters. Source: Twilio docs, TwiML `<Client>` and access tokens; error 31105.
_CLIENT = re.compile(r"client:([A-Za-z0-9_.@-]{1,256})")
#: Source: RFC 3261, section 19.1.1, restricted: no passwords, no headers, one known parameter.
_SIP = re.compile(
    r"sip:([A-Za-z0-9._~!$&'()*+,=/%-]{1,64})@([A-Za-z0-9][A-Za-z0-9.-]{0,252})(?::([1-9][0-9]{0,4}))?"
    r"(?:;transport=(?:udp|tcp|tls))?"
)
#: An unescaped user part: none of these characters ends it or starts another escape.
_SIP_USER = re.compile(r"[A-Za-z0-9._~!$&'()*+,=/-]+")
#: Start of a user part that a gateway may dial as a phone number: `+`, or no letters other than pauses (`p`, `w`) up to
#: its end or to what a gateway may cut off. Source: RFC 3601, for pauses.
_DIALABLE_USER = re.compile(r"\+|[^A-Za-z]+(?:[pPwW][^A-Za-z]*)*(?:$|[,/=&])")
_PORT_MAX = 65535
#: Ports of SIP, unless an entry of the list has another. Source: RFC 3261, section 19.1.2.
_SIP_PORTS = frozenset({None, "5060", "5061"})
_SIP_DOMAIN = re.compile(r"sip:([A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::([1-9][0-9]{0,4}))?)")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
_REGION = re.compile(r"[A-Z]{2}")
#: Numbers that cost extra or share the cost: never dialed, whatever the list allows.
_FORBIDDEN_TYPES = {PhoneNumberType.PREMIUM_RATE: "premium-rate", PhoneNumberType.SHARED_COST: "shared-cost"}
#: What Twilio shows for a withheld number: ANONYMOUS, UNAVAILABLE, BLOCKED, UNKNOWN, RESTRICTED on a keypad.
#: Source: Twilio support, "Why am I getting calls from these strange numbers?".
_WITHHELD = frozenset({"+266696687", "+86282452253", "+2562533", "+8656696", "+7378742833"})


class AddressError(ConferralError):
    """An address is invalid or not allowed; `reason` says why, without it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AddressKind(StrEnum):
    """Kind of an address, named after TwiML's nouns."""

    NUMBER = "number"
    CLIENT = "client"
    SIP = "sip"


@dataclass(frozen=True, slots=True)
class Address:
    """A valid address."""

    kind: AddressKind
    #: As settings and commands write it: `+E.164`, `client:NAME`, or `sip:URI`.
    text: str

    @property
    def noun(self) -> str:
        """The text inside the TwiML noun; of a client, only the name."""
        return self.text.removeprefix("client:") if self.kind is AddressKind.CLIENT else self.text

    def __repr__(self) -> str:
        return f"<Address {self.kind.value}>"  # never the address: reprs appear in tracebacks


def parse_address(text: str) -> Address:
    """Parse `+E.164`, `client:NAME`, or `sip:URI`; else raise AddressError."""
    if _E164.fullmatch(text):
        return Address(AddressKind.NUMBER, text)
    if _CLIENT.fullmatch(text):
        return Address(AddressKind.CLIENT, text)
    if sip := _SIP.fullmatch(text):
        if not _SIP_USER.fullmatch(unquote(sip[1])):
            raise AddressError("the part before the @ of a sip: address has an escape that changes its meaning")
        if int(sip[3] or 0) > _PORT_MAX:
            raise AddressError("the port of a sip: address is too high")
        return Address(AddressKind.SIP, text)
    digits = text.removeprefix("+")
    if digits.isdigit() and len(digits) < _COMPLETE_DIGITS_MIN:
        if _parse_valid(text) is not None:  # some countries have complete numbers this short
            return Address(AddressKind.NUMBER, text)
        raise AddressError("short and emergency numbers are never dialed")
    raise AddressError(f"must be a number with + and country code (such as {EXAMPLE}), client:NAME, or sip:URI")


def is_caller_id(text: str) -> bool:
    """Whether a caller's address is a valid number that may be shown."""
    # Source: Twilio docs, Errors, 13214: networks reject calls that show an invalid number.
    return text not in _WITHHELD and _parse_valid(text) is not None


def region_of(number: str) -> str:
    """Return an E.164 number's region, such as `US`; empty if there is none.

    The numbering plan decides: +1 876 is Jamaica. Unassigned numbers, such as fictional ones, count as their area's.
    """
    parsed = _parse_e164(number)
    return _region(parsed) if parsed is not None and _is_possible(parsed) else ""


def _is_possible(parsed: PhoneNumber) -> bool:
    """Whether a number is complete, assigned or not."""
    return bool(phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE)


def _parse_e164(number: str) -> PhoneNumber | None:
    """Return the parsed number, None if it is not in canonical E.164 form."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return None
    # A number that keeps its trunk prefix would evade a prefix of the list, or match another one.
    canonical = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == number
    return parsed if canonical else None


def _parse_valid(number: str) -> PhoneNumber | None:
    """Return the parsed number, None if its numbering plan does not have it.

    A possible number is not enough: networks connect once the digits are complete, so a premium-rate number with one
    extra digit still reaches the premium-rate number.
    """
    parsed = _parse_e164(number)
    return parsed if parsed is not None and phonenumbers.is_valid_number(parsed) else None


def _region(parsed: PhoneNumber) -> str:
    """Return a number's region, or its area's if unassigned; empty if unknown."""
    if region := phonenumbers.region_code_for_number(parsed):
        return str(region)
    if parsed.country_code is not None and parsed.country_code != 1:
        # Not assigned in any region of this country code: use the main one.
        return str(phonenumbers.region_code_for_country_code(parsed.country_code))
    # Many countries share +1, by area code: check an assignable number of the same area.
    assignable = PhoneNumber(country_code=1, national_number=int(f"{str(parsed.national_number)[:3]}2345678"))
    return str(phonenumbers.region_code_for_number(assignable) or "")


def _is_emergency(parsed: PhoneNumber, region: str) -> bool:
    """Whether it is an emergency number, even after an area code (+49 30 112)."""
    national = phonenumbers.national_significant_number(parsed)  # keeps Italy's leading zeros
    subscriber = national[phonenumbers.length_of_geographical_area_code(parsed) :]
    return bool(region) and any(phonenumbers.is_emergency_number(digits, region) for digits in (national, subscriber))


@dataclass(frozen=True, slots=True)
class AllowList:
    """Allow-list (empty: nothing); never premium-rate or emergency numbers."""

    regions: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    clients: bool = False
    sip_domains: frozenset[str] = frozenset()

    @classmethod
    def from_setting(cls, text: str | None, own_number: str) -> "AllowList":
        """Return the list that the setting describes; else raise SettingsError.

        None allows the region of `own_number`, and `client:`. A SIP domain without a port allows only SIP's own ports.
        """
        if text is None:
            own_region = region_of(own_number)
            # Toll-free and satellite numbers of the world share 001, which is not a region.
            return cls(regions=frozenset({own_region} if _REGION.fullmatch(own_region) else ()), clients=True)
        regions, prefixes, domains, clients = set(), [], set(), False
        for position, entry in enumerate((part.strip() for part in text.split(",")), start=1):
            if _REGION.fullmatch(entry) and entry in phonenumbers.SUPPORTED_REGIONS:
                regions.add(entry)
            elif _PREFIX.fullmatch(entry):
                prefixes.append(entry)
            elif entry == "client:":
                clients = True
            elif (domain := _SIP_DOMAIN.fullmatch(entry)) and int(domain[2] or 0) <= _PORT_MAX:
                domains.add(domain[1].lower())
            elif entry:
                why = f"entry {position} is wrong"
                problem = setting_errors.describe_invalid("CONFERRAL_ALLOWED_DESTINATIONS", entry, None, why)
                raise SettingsError((problem,))
        return cls(frozenset(regions), tuple(prefixes), clients, frozenset(domains))

    def check(self, address: Address) -> None:
        """Raise AddressError unless the address is allowed."""
        if address.kind is AddressKind.NUMBER:
            self._check_number(address.text)
        elif address.kind is AddressKind.CLIENT:
            if not self.clients:
                raise AddressError("the allow-list has no entry client:")
        else:
            self._check_sip(address.text)

    def _check_sip(self, uri: str) -> None:
        """Check the domain, and a user part that a gateway may dial."""
        sip = _SIP.fullmatch(uri)
        host = sip[2].lower() if sip is not None else ""
        if sip is None or not (
            f"{host}:{sip[3]}" in self.sip_domains or (sip[3] in _SIP_PORTS and host in self.sip_domains)
        ):
            raise AddressError("the allow-list does not name this SIP domain")
        user = unquote(sip[1])
        if not _DIALABLE_USER.match(user):
            return
        if not _E164.fullmatch(user):
            raise AddressError(
                "the part before the @ of a sip: address is a number, but not +, country code, and number; short and "
                "emergency numbers are never dialed"
            )
        self._check_number(user)

    def _check_number(self, number: str) -> None:
        """Check the kind first (costly, emergency), then the region."""
        parsed = _parse_e164(number)
        is_valid = _parse_valid(number) is not None
        if parsed is None or not (is_valid or _is_possible(parsed)):
            raise AddressError("is not a complete phone number; short and emergency numbers are never dialed")
        if forbidden := _FORBIDDEN_TYPES.get(phonenumbers.number_type(parsed)):
            raise AddressError(f"{forbidden} numbers are never dialed")
        region = _region(parsed)
        if _is_emergency(parsed, region):
            raise AddressError("emergency numbers are never dialed")
        if region not in self.regions and not number.startswith(self.prefixes):
            which = f"country {region} is not" if region else "has no country"
            raise AddressError(f"{which} on the allow-list")
        if not is_valid:
            raise AddressError("is not a valid phone number in its region")
