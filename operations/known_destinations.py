"""Destinations that are in use: what a form can suggest where nobody knows the directory."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from conferral.operations import wording
from conferral.operations.session_queries import Fields

#: Suggestions (count): a longer list is not read.
SUGGESTED_MAX = 20
#: Agents' and targets' addresses as they are typed; what else a record may hold is not offered, nor what the form would
#: take for several.
_TYPEABLE_ADDRESS = re.compile(r"(?:client:|sip:|\+)[!-+\--~]{1,250}")
_PARTY_ADDRESS_FIELD = re.compile(r"party\.(?!customer\.)[^.]+\.address")


def addresses_in_use(sessions: Iterable[Fields], *, full: bool = False) -> list[str]:
    """Whom sessions have as agents, targets and the like, the most frequent first.

    Args:
        sessions: Hashes.
        full: Whether numbers are shown whole; where they are not, none is among these.
    """
    found: Counter[str] = Counter()
    for fields in sessions:
        # One who stands in a session under two names counts once.
        found.update({address for name, address in fields.items() if _PARTY_ADDRESS_FIELD.fullmatch(name)})
    # Equally frequent ones in the same order always: a page is told anew of whatever changes.
    ordered = sorted(found, key=lambda address: (-found[address], address))
    shown = (
        one for one in ordered if _TYPEABLE_ADDRESS.fullmatch(one) and wording.display_address(one, full=full) == one
    )
    return list(islice(shown, SUGGESTED_MAX))


def connected_addresses(fields: Fields) -> frozenset[str]:
    """The addresses of those who take part in a session now: nobody hands a call over to them."""
    live = (party for party in wording.party_names(fields) if fields.get(f"party.{party}.status") != "left")
    return frozenset(fields.get(f"party.{party}.address", "") for party in live)
