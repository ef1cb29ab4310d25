"""Addresses to dial, and the allow-list; errors never quote a number."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneNumber

from conferral.runtime import setting_errors
from conferral.runtime.errors import ConferralError, SettingsError
from conferral.runtime.limits import NUMBER
from conferral.runtime.redaction import EXAMPLE
from conferral.telephony.forbidden_numbers import (
    e164,
    forbidden_in_user,
    is_emergency,
    is_possible,
    kind_of_costly,
    kind_of_forbidden,
    lies_in_costly_range,
    numbers_in_user,
    parse_possible,
)
from conferral.telephony.identities import identity_problem

_E164 = re.compile(NUMBER)
#: Fewest digits of a complete number (count): fewer are meant as a short or emergency number.
_COMPLETE_DIGITS_MIN = 7
#: Source: RFC 3261, section 19.1.1, restricted: no passwords, no headers, one known parameter.
_SIP = re.compile(
    r"sip:([A-Za-z0-9._~!$&'()*+,=/%-]{1,64})@([A-Za-z0-9][A-Za-z0-9.-]{0,252})(?::([1-9][0-9]{0,4}))?"
    r"(?:;transport=(?:udp|tcp|tls))?"
)
#: An unescaped user part: none of these characters ends it or starts another escape.
_SIP_USER = re.compile(r"[A-Za-z0-9._~!$&'()*+,=/-]+")
_PORT_MAX = 65535
#: Ports of SIP, unless an entry of the list has another. Source: RFC 3261, section 19.1.2.
_SIP_PORTS = frozenset({None, "5060", "5061"})
_SIP_DOMAIN = re.compile(r"sip:([A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::([1-9][0-9]{0,4}))?)")
#: A name of the directory.
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_-]{1,64}")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
_REGION = re.compile(r"[A-Z]{2}")
#: A Twilio SIP domain under the name of an edge, public or private. Source: Twilio docs, "Localized URIs", SIP URIs.
_LOCALIZED = re.compile(r"(?P<domain>.+\.sip)\.[a-z0-9-]+\.twilio\.com", re.IGNORECASE)
#: Address with a user part, as carriers, PBXs, and SIP phones send it. Source: RFC 3261, section 19.1.1; RFC 3966.
_URI = re.compile(r"<?(?:sips?:|tel:)(?P<user>[^@;?>]{1,128})(?:@(?P<host>[A-Za-z0-9.-]{1,253}))?", re.IGNORECASE)
#: Visual separators in a number.
_SEPARATORS = re.compile(r"[\s().\-]+")
#: A country code, and after it the trunk prefix of the country's own callers, as cards show it.
_TRUNK_ZERO = re.compile(r"[\s(]*\+[\s().\-]*(?P<country>[1-9][0-9]{0,2})[\s).\-]*\(\s*0\s*\)")
#: A number with visual separators, in one line.
_WRITTEN = re.compile(r"\+[0-9 \u00a0().\-]+")
#: Where a number begins in a query's value: a plus that isn't percent-encoded is read as a space.
_READ_AS_SPACE = re.compile(r"^ +(?=[0-9])")
#: A number as someone dials it.
_DIALED = re.compile(r"\+?[0-9]{7,18}")
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
    """Parse `+E.164`, `client:NAME`, or `sip:URI`; else raise AddressError.

    A number may have separators after its plus, and `(0)` after its country code, as people write it.
    """
    if _WRITTEN.fullmatch(text):
        text = _digits(text)
    if _E164.fullmatch(text):
        return Address(AddressKind.NUMBER, text)
    if text.startswith("client:"):
        if problem := identity_problem(text.removeprefix("client:")):
            raise AddressError(f"the name after client: {problem}")
        return Address(AddressKind.CLIENT, text)
    if sip := _SIP.fullmatch(text):
        if not _SIP_USER.fullmatch(unquote(sip[1])):
            raise AddressError("the part before the @ of a sip: address has an escape that changes its meaning")
        if not _is_valid_port(sip[3]):
            raise AddressError("the port of a sip: address is too high")
        return Address(AddressKind.SIP, text[: sip.start(2)] + global_domain(sip[2]) + text[sip.end(2) :])
    digits = text.removeprefix("+")
    if digits.isdigit() and len(digits) < _COMPLETE_DIGITS_MIN:
        if _parse_valid(text) is not None:  # some countries have complete numbers this short
            return Address(AddressKind.NUMBER, text)
        raise AddressError("short and emergency numbers are never dialed")
    raise AddressError(f"must be a number with + and country code (such as {EXAMPLE}), client:NAME, or sip:URI")


def _digits(written: str) -> str:
    """Return a number as it is dialed: without separators and trunk zero.

    Where the zero is part of the number, as in Italy, it stays.

    >>> _digits("+44 (0)20 7946 0123"), _digits("+39 (0)6 1234 5678")
    ('+442079460123', '+390612345678')
    """
    digits = _SEPARATORS.sub("", written)
    trunk = _TRUNK_ZERO.match(written)
    if not trunk or int(trunk["country"]) not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE or _parse_valid(digits):
        return digits
    return f"+{trunk['country']}{_SEPARATORS.sub('', written[trunk.end() :])}"


def _is_valid_port(port: str | None) -> bool:
    return port is None or int(port) <= _PORT_MAX


def address_with_params(address: str, params: str) -> str:
    """Return what Twilio is to dial: an address with data for the party.

    Source: Twilio docs, Participants subresource, "Custom parameters"; Making SIP Calls, "Headers".

    >>> address_with_params("client:alice", "name=Ada"), address_with_params("sip:a@example.com", "name=Ada&id=7")
    ('client:alice?name=Ada', 'sip:a@example.com?X-name=Ada&X-id=7')
    """
    if params and address.startswith("sip:"):
        params = "&".join(f"X-{one}" for one in params.split("&"))
    return f"{address}?{params}" if params else address


def without_params(text: str) -> str:
    """Return the address of a call's `To`, which may show such data or not."""
    return text.partition("?")[0] if text.startswith(("client:", "sip:")) else text


def restore_plus(text: str) -> str:
    """Return a query's decoded value with the plus sign of its number.

    >>> restore_plus(" 14155550123"), restore_plus("Smith, 5 rooms")
    ('+14155550123', 'Smith, 5 rooms')
    """
    return _READ_AS_SPACE.sub("+", text)


def is_caller_id(text: str) -> bool:
    """Whether a caller's address is a valid number that may be shown."""
    # Source: Twilio docs, Errors, 13214: networks reject calls that show an invalid number.
    return text not in _WITHHELD and _parse_valid(text) is not None


def region_of(number: str) -> str:
    """Return an E.164 number's region, such as `US`; empty if there is none.

    The numbering plan decides: +1 876 is Jamaica. Unassigned numbers, such as fictional ones, count as their area's.
    """
    parsed = _parse_e164(number)
    return _region(parsed) if parsed is not None and is_possible(parsed) else ""


def _parse_e164(number: str) -> PhoneNumber | None:
    """Return the parsed number, None if it is not in canonical E.164 form."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return None
    # A number that keeps its trunk prefix would evade a prefix of the list, or match another one.
    return parsed if e164(parsed) == number else None


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


@dataclass(frozen=True, slots=True)
class Uri:
    """A `sip:`, `sips:`, or `tel:` URI, as far as it says who is meant."""

    #: Decoded, without parameters.
    user: str
    #: Lower case, under its global name if it is a Twilio domain; empty for `tel:`.
    domain: str


def parse_uri(text: str) -> Uri | None:
    """Return the parts of a `sip:`, `sips:`, or `tel:` URI; None for others."""
    found = _URI.match(text)
    return Uri(unquote(found["user"]), global_domain((found["host"] or "").lower())) if found else None


def global_domain(host: str) -> str:
    """Return a SIP domain's global name, which Twilio wants dialed.

    >>> global_domain("acme.sip.us1.twilio.com")
    'acme.sip.twilio.com'
    """
    # Source: Twilio docs, Errors, 32220.
    localized = _LOCALIZED.fullmatch(host)
    return f"{localized['domain']}.twilio.com" if localized else host


def number_in(address: str, own_number: str) -> str:
    """Return the number in an address, or in its user part; empty for none.

    SIP carriers, BYOC trunks, and PBXs send numbers as URIs, also without a plus sign. `own_number` says in which
    region a number without country code is.
    """
    if _E164.fullmatch(address):
        return address
    uri = parse_uri(address)
    return dialed_number(uri.user if uri else address, own_number)


def number_or_address(address: str, own_number: str) -> str:
    """Return the number in a caller's address, or else the address."""
    return number_in(address, own_number) or address


def own_number_in(address: str, own_numbers: Collection[str]) -> str:
    """Return the number of ours in an address; empty for none.

    The first says in which region a number without country code is.
    """
    number = number_in(address, next(iter(own_numbers), ""))
    return number if number in own_numbers else ""


def dialed_number(text: str, own_number: str) -> str:
    """Return E.164 for a number as phones dial it; empty if it is none.

    >>> dialed_number("011 44 20 7946 0123", "+14155550100"), dialed_number("(415) 555-0123", "+14155550100")
    ('+442079460123', '+14155550123')
    """
    digits = _digits(text)
    if not _DIALED.fullmatch(digits):
        return ""
    if digits.startswith("+"):
        return digits if _E164.fullmatch(digits) else ""
    region = region_of(own_number)
    national = parse_possible(digits, region if _REGION.fullmatch(region) else None)
    international = parse_possible(f"+{digits}")
    readings = [one for one in (national, international) if one is not None]
    if not own_number.startswith("+1"):  # a new area code in America must not be read as a country code
        readings.sort(key=lambda one: not phonenumbers.is_valid_number(one))
    return e164(readings[0]) if readings else ""


@dataclass(frozen=True, slots=True)
class AllowList:
    """Countries, prefixes, and domains that may be dialed (`allow_list`).

    Empty: nothing. Premium-rate and emergency numbers never are.
    """

    regions: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = field(default=(), repr=False)
    clients: bool = False
    #: Under their global names, with a port if the entry has one.
    sip_domains: frozenset[str] = frozenset()
    #: Region of `TWILIO_NUMBER`, in which a SIP user without country code may be dialed; empty if unknown.
    own_region: str = ""
    #: The setting that describes it, for errors.
    setting: str = "CONFERRAL_ALLOWED_DESTINATIONS"
    #: Our own numbers, never dialed. The first says in which region a number without country code is.
    own: Collection[str] = field(default=(), repr=False, compare=False)

    @classmethod
    def from_setting(cls, text: str | None, own_number: str, setting: str = setting) -> "AllowList":
        """Return the list that the setting describes; else raise SettingsError.

        None allows the region of `own_number`, and `client:`. A SIP domain without a port allows only SIP's own ports.
        """
        own_region = region_of(own_number)
        if not _REGION.fullmatch(own_region):
            own_region = ""  # toll-free and satellite numbers of the world share 001, which is not a region
        if text is None:
            return cls(frozenset({own_region} - {""}), clients=True, own_region=own_region, setting=setting)
        regions, prefixes, domains, clients = set(), [], set(), False
        for position, entry in enumerate((part.strip() for part in text.split(",")), start=1):
            if _REGION.fullmatch(entry) and entry in phonenumbers.SUPPORTED_REGIONS:
                regions.add(entry)
            elif _PREFIX.fullmatch(entry):
                prefixes.append(entry)
            elif entry == "client:":
                clients = True
            elif (domain := _SIP_DOMAIN.fullmatch(entry)) and _is_valid_port(domain[2]):
                domains.add(_global_entry(domain[1].lower()))
            elif entry:
                why = f"entry {position} is wrong"
                problem = setting_errors.describe_invalid(setting, entry, None, why)
                raise SettingsError((problem,))
        return cls(frozenset(regions), tuple(prefixes), clients, frozenset(domains), own_region, setting)

    def check(self, address: Address) -> None:
        """Raise AddressError unless the address is allowed."""
        if self._reaches_own(address):
            raise AddressError("one of your own numbers is never dialed: the call would come in again")
        if address.kind is AddressKind.NUMBER:
            self._check_number(address.text)
        elif address.kind is AddressKind.CLIENT:
            if not self.clients:
                raise AddressError(f"{self.setting} has no entry client:")
        else:
            self._check_sip(address.text)

    def _reaches_own(self, address: Address) -> bool:
        """Whether it is a number of ours, or a gateway may dial one."""
        if address.kind is AddressKind.CLIENT or not self.own:
            return False
        uri = parse_uri(address.text)
        read = numbers_in_user(unquote(uri.user), {self.own_region, *self.regions}) if uri is not None else ()
        return bool(own_number_in(address.text, self.own)) or any(e164(one) in self.own for one in read)

    def check_signed_address(self, text: str) -> None:
        """Raise AddressError unless an address that Twilio signed may be dialed.

        The party has called in from there, so any form and domain will do. Emergency and costly numbers stay refused.
        """
        uri = parse_uri(text)
        if uri is not None:
            self.check_sip_user(uri.user.removeprefix("+"))
        elif not text.startswith("client:"):
            self.check(parse_address(text))

    def names_domain(self, domain: str) -> bool:
        """Whether an entry names a SIP domain, with any port."""
        return any(one.partition(":")[0] == domain for one in self.sip_domains)

    def _check_sip(self, uri: str) -> None:
        """Refuse an unlisted domain, and a user part that may not be dialed."""
        sip = _SIP.fullmatch(uri)
        host = global_domain(sip[2].lower()) if sip is not None else ""
        if sip is None or not (
            f"{host}:{sip[3]}" in self.sip_domains or (sip[3] in _SIP_PORTS and host in self.sip_domains)
        ):
            raise AddressError(f"{self.setting} does not name this SIP domain")
        self.check_sip_user(unquote(sip[1]))

    def check_sip_user(self, user: str) -> None:
        """Raise AddressError if a gateway may dial the user part, and must not.

        An international number must pass as a number. Other digits may be an extension: only what no one may dial is
        refused.
        """
        if user.startswith("+"):
            if not _E164.fullmatch(user):
                raise AddressError("the part before the @ of a sip: address is not +, country code, and number")
            self._check_number(user)
            return
        forbidden, costly = forbidden_in_user(user, {self.own_region, *self.regions})
        if forbidden:
            raise AddressError(f"the part before the @ of a sip: address may be dialed, and {_never(forbidden)}")
        for parsed in costly:
            self._check_cost(parsed)

    def _check_number(self, number: str) -> None:
        """Raise AddressError unless kind, country, prefix, and cost are allowed."""
        parsed = _parse_e164(number)
        is_valid = _parse_valid(number) is not None
        if parsed is None or not (is_valid or is_possible(parsed)):
            incomplete = "the phone number is incomplete; short and emergency numbers are never dialed"
            raise AddressError(_trunk_zero_in(number) or incomplete)
        if forbidden := kind_of_forbidden(parsed):
            raise AddressError(_never(forbidden))
        region = _region(parsed)
        if is_emergency(parsed, region):
            raise AddressError(_never("emergency"))
        if region not in self.regions and not number.startswith(self.prefixes):
            which = f"country {region} is not" if region else "the phone number has no country"
            raise AddressError(f"{which} in {self.setting}")
        # The library learns new area codes months after they come into use, so an entry that names one counts.
        country_code = f"+{parsed.country_code}"
        if not is_valid and not any(number.startswith(one) and len(one) > len(country_code) for one in self.prefixes):
            raise AddressError(_trunk_zero_in(number) or "the phone number is not valid in its region")
        self._check_cost(parsed)

    def _check_cost(self, parsed: PhoneNumber) -> None:
        """Raise AddressError for a costly number, unless an entry is in its range."""
        if not (kind := kind_of_costly(parsed)):
            return
        number = e164(parsed)
        if not any(number.startswith(one) and lies_in_costly_range(one) for one in self.prefixes):
            why = f"{self.setting} needs an entry for a prefix of their own"
            raise AddressError(f"{kind} numbers cost extra: {why}")


def _trunk_zero_in(number: str) -> str:
    """Return what is wrong if a number is complete without its first zero."""
    for end in range(2, 5):  # after a country code of one to three digits
        is_country = int(number[1:end]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
        if is_country and number[end] == "0" and parse_possible(number[:end] + number[end + 1 :]) is not None:
            return "the phone number has a 0 after its country code: leave it out, or write it as (0)"
    return ""


def _never(kind: str) -> str:
    return f"{kind} numbers are never dialed"


def _global_entry(domain: str) -> str:
    """Return an entry's domain under its global name, with its port if any."""
    host, colon, port = domain.partition(":")
    return global_domain(host) + colon + port


# ---- names of the directory --------------------------------------------------------------------------------------


def is_name(text: str) -> bool:
    """Whether a text is a directory name: it needs a letter, unlike a number.

    >>> is_name("second-line_2"), is_name("911"), is_name("client:anna")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None


def resolve_address(text: str, names: Mapping[str, str], allowed: AllowList) -> Address:
    """Return the address for an address or a name; else raise AddressError."""
    if is_name(text) and text not in names:
        # A name with digits may be a mistyped phone number.
        has_no_digits = re.fullmatch("[A-Za-z_-]+", text)
        unknown = f"no destination is named {text}" if has_no_digits else "no destination has that name"
        addresses = "an address is +, country code, and number; client:NAME; or sip:URI"
        hint = f"; did you mean client:{text}?" if has_no_digits and allowed.clients else ""
        raise AddressError(f"{unknown} in the directory; {addresses}{hint}")
    address = parse_address(names.get(text, text))
    allowed.check(address)
    return address
