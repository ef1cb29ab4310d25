"""Destinations in use, as suggestions for forms that can't read the directory."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from conferral.operations import wording
from conferral.operations.session_queries import Fields

#: Maximum number of suggestions: no one reads a longer list.
SUGGESTED_MAX = 20
#: Addresses of agents and targets that can be typed. Others aren't offered, nor those with a comma, which separates
#: destinations.
_TYPEABLE_ADDRESS = re.compile(r"(?:client:|sip:|\+)[!-+\--~]{1,250}")
_PARTY_ADDRESS_FIELD = re.compile(r"party\.(?!customer\.)[^.]+\.address")


def addresses_in_use(sessions: Iterable[Fields], *, full: bool = False) -> list[str]:
    """Return the addresses of agents, targets, and the like, most frequent first.

    Args:
        sessions: Hashes.
        full: Whether to show full phone numbers; otherwise, numbers are left out.
    """
    found: Counter[str] = Counter()
    for fields in sessions:
        # A party that appears twice in a session counts once.
        found.update({address for name, address in fields.items() if _PARTY_ADDRESS_FIELD.fullmatch(name)})
    # Order ties the same way every time, because a page receives every change.
    ordered = sorted(found, key=lambda address: (-found[address], address))
    shown = (
        one for one in ordered if _TYPEABLE_ADDRESS.fullmatch(one) and wording.display_address(one, full=full) == one
    )
    return list(islice(shown, SUGGESTED_MAX))


def connected_addresses(fields: Fields) -> frozenset[str]:
    """Return the addresses of connected parties, which aren't useful transfer targets."""
    live = (party for party in wording.party_names(fields) if fields.get(f"party.{party}.status") != "left")
    return frozenset(fields.get(f"party.{party}.address", "") for party in live)
